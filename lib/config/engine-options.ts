/**
 * The section `sip` with its files read, and it and `engine.limits`, `engine.timers` in the words of the embedded engine: what an
 * app that starts it passes on, the edge as well as the engine as a process of its own.
 */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { keyInFile, readTls, tlsFileKeys, type TlsPaths, type TlsTexts } from './certificates.ts';
import { engineLimits, type EngineSections, engineTimers } from './engine-sections.ts';
import type { sip } from './sip-schema.ts';
import { type Camel, type KeyPath, valueAt } from './tree.ts';

type RawSip = Camel<z.output<typeof sip>>;

/** Certificates as the config names them, and what is in them. */
export interface TlsFiles {
  /** absolute */
  readonly paths: TlsPaths;
  readonly texts: TlsTexts;
}

/** Its certificates already read. */
export type SipConfig = Omit<RawSip, 'tls'> & {
  readonly tls: TlsFiles & { readonly minVersion: RawSip['tls']['minVersion'] };
};

/** The files a section names by `cert_file`, `key_file` and their like; `section` is its path in the tree. */
export function readTlsFiles(
  section: KeyPath,
  tree: unknown,
  folder: string,
  tellAt: (path: KeyPath, expected: string, found: string) => void,
): TlsFiles {
  const paths: { -readonly [K in keyof TlsPaths]: TlsPaths[K] } = {};
  for (const key of tlsFileKeys) {
    const path = valueAt(tree, [...section, keyInFile(key)]);
    if (typeof path === 'string' && path !== '') paths[key] = resolve(folder, path);
  }
  const tell = (name: keyof TlsPaths) => (expected: string, found: string) =>
    tellAt([...section, keyInFile(name)], expected, found);
  return { paths, texts: readTls(paths, tell) };
}

export function assembleSip(raw: RawSip, files: TlsFiles): SipConfig {
  return { ...raw, tls: { ...files, minVersion: raw.tls.minVersion } };
}

/** Fits EngineOptions. */
export function engineOptions(sip: SipConfig, { limits: more, timers }: EngineSections) {
  const { listen, externalAddress, dnsServers, tcpAboveBytes, tls, websocket, limits } = sip;
  const [name = '', ...value] = websocket.cookie?.reveal().split('=') ?? [];
  return {
    listen,
    ...(externalAddress === undefined ? {} : { externalAddress }),
    dns: { servers: dnsServers },
    tcpAboveBytes,
    tls: tlsMaterial(tls.texts, tls.minVersion),
    webSocket: {
      ...(websocket.origins === undefined ? {} : { origins: websocket.origins }),
      ...(websocket.cookie === undefined ? {} : { cookie: { name, value: value.join('=') } }),
      pingMs: websocket.pingSeconds * 1000,
    },
    limits: {
      messageBytes: limits.messageBytes,
      headers: limits.headers,
      connections: limits.connections,
      connectionsPerAddress: limits.connectionsPerAddress,
      handshakeMs: limits.handshakeSeconds * 1000,
      halfMessageMs: limits.messageSeconds * 1000,
      idleMs: limits.idleSeconds * 1000,
      ...engineLimits(more),
    },
    timers: engineTimers(timers),
  };
}

/** Fits TlsMaterial. */
export function tlsMaterial({ cert, key, ca }: TlsTexts, minVersion: SipConfig['tls']['minVersion']) {
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: key.reveal() }),
    ...(ca === undefined ? {} : { ca }),
    minVersion,
  };
}
