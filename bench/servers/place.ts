/** Addresses and folders of one run. Everything is on loopback addresses of one /24, so that nothing else is in the way. */
import { fileURLToPath } from 'node:url';
import type { HostPort } from '../load/wire.ts';

/** The project folder: this file runs as dist/bench/servers/place.js. */
export const projectRoot = fileURLToPath(new URL('../../../', import.meta.url));

export interface Place {
  /** the measured server */
  readonly server: HostPort;
  readonly http: HostPort;
  readonly pbx: HostPort;
  /** where phones are */
  readonly phones: string;
  /** control port of a drachtio-server */
  readonly control: HostPort;
  /** an empty folder for config, logs and store */
  readonly folder: string;
}

/** `net`: the first three numbers of a loopback address. */
export function placeIn(net: string, folder: string): Place {
  return {
    server: { host: `${net}.1`, port: 5060 },
    http: { host: `${net}.1`, port: 9090 },
    control: { host: `${net}.1`, port: 9022 },
    phones: `${net}.2`,
    pbx: { host: `${net}.5`, port: 5080 },
    folder,
  };
}
