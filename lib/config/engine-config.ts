/**
 * The config of the SIP engine as a process of its own (`npm run engine`): a YAML file with the edge's keys where both mean the
 * same, a drachtio.conf.xml, or the command line; the environment wins over files, the command line over all.
 */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { z } from 'zod';
import { engineLimits, engineTimers, limitsSection, timersSection } from './engine-sections.ts';
import { readCertificates, readPrivateKey } from './files.ts';
import { fallback, keysOf, optional, required, type KeyRow } from './keys.ts';
import { hostPort, integer, secretText, text } from './kinds.ts';
import { logSection, mistake, sipSection } from './schema.ts';
import { freeze, type Camel, type Environment, readConfig, type Reading, type Source, valueAt } from './tree.ts';

const mebi = 1_048_576;
const filePath = text('the path of a file, relative to the folder of the config file', /^[^\0]{1,4096}$/);

const control = z
  .strictObject({
    listen: fallback(hostPort, '127.0.0.1:9022', {
      doc: 'Where edges connect. Elsewhere than on loopback only with a secret of at least 16 characters, and better over TLS only.',
      env: 'REVEILLE_CONTROL_LISTEN',
    }),
    secret: required(secretText('the secret edges must show, as text'), {
      doc: 'What edges must show: their engine.drachtio.secret.',
      env: 'DRACHTIO_SECRET',
    }),
    tls_port: optional(integer(0, 65_535), {
      doc: 'A second port on the same address, for edges with engine.drachtio.transport tls. 0 takes a free one.',
    }),
    cert_file: optional(filePath, { doc: 'PEM certificate of the TLS port, its chain behind it.' }),
    key_file: optional(filePath, { doc: 'PEM private key of the TLS port.' }),
    chain_file: optional(filePath, { doc: 'PEM certificates of the chain, when they are not in cert_file.' }),
    max_apps: fallback(integer(1, 10_000), 64, { doc: 'Most edges connected at once.' }),
    max_frame_octets: fallback(integer(4096, 16 * mebi, 'octets'), mebi, { doc: 'Longest frame taken from an edge.' }),
    pause_octets: fallback(integer(65_536, 1024 * mebi, 'octets'), 16 * mebi, {
      doc: 'An edge that has not read so much gets no new requests, and is not read from, until it has read all.',
    }),
    backlog_octets: fallback(integer(65_536, 1024 * mebi, 'octets'), 64 * mebi, {
      doc: 'An edge that has not read so much is cut off.',
    }),
    stall_seconds: fallback(integer(1, 3600, 'seconds'), 30, { doc: 'An edge that is behind for so long is cut off.' }),
  })
  .check((context) => {
    const { listen, secret, tls_port: port, cert_file: cert, key_file: key } = context.value;
    if (!isLoopback(listen.address) && isWeak(secret.reveal()))
      mistake(context, ['secret'], 'at least 16 characters, because listen is not on loopback', 'a shorter one');
    if (port !== undefined && cert === undefined)
      mistake(context, ['cert_file'], 'a file, because there is a tls_port', 'nothing');
    if (port !== undefined && key === undefined)
      mistake(context, ['key_file'], 'a file, because there is a tls_port', 'nothing');
  });

const engineSchema = z.strictObject({
  sip: sipSection.prefault({}),
  control: control.prefault({} as never),
  engine: z.strictObject({ limits: limitsSection.prefault({}), timers: timersSection.prefault({}) }).prefault({}),
  http: z
    .strictObject({
      listen: fallback(hostPort, '127.0.0.1:9091', {
        doc: 'Where /metrics, /healthz and /readyz are served; keep it off the public network. Port 0 takes a free one.',
        env: 'REVEILLE_ENGINE_HTTP_LISTEN',
      }),
    })
    .prefault({}),
  shutdown: z
    .strictObject({
      call_seconds: fallback(integer(0, 86_400, 'seconds'), 30, {
        doc: 'How long calls go on after SIGTERM, while new ones are refused, before they are ended.',
      }),
    })
    .prefault({}),
  log: logSection.prefault({}),
});

export const engineConfigKeys: readonly KeyRow[] = keysOf(engineSchema);

type Raw = Camel<z.output<typeof engineSchema>>;

export interface EngineProcessConfig {
  readonly sip: Raw['sip'];
  readonly control: {
    readonly host: string;
    readonly port: number;
    readonly secret: string;
    readonly tls?: { readonly port: number; readonly cert: string; readonly key: string };
  };
  /** as lib/engine/options.ts names them */
  readonly limits: ReturnType<typeof engineLimits> & {
    readonly apps: number;
    readonly frameBytes: number;
    readonly appPauseBytes: number;
    readonly appBacklogBytes: number;
    readonly appStallMs: number;
  };
  readonly timers: ReturnType<typeof engineTimers>;
  readonly http: Raw['http'];
  readonly shutdown: Raw['shutdown'];
  readonly log: Raw['log'];
  /** what an operator should know, in whole sentences */
  readonly warnings: readonly string[];
}

interface Files {
  readonly cert?: string;
  readonly key?: string;
}

/** Throws EdgeError EDGE_CONFIG_INVALID with every mistake in its message. */
export function loadEngineConfig(source: Source, env: Environment): EngineProcessConfig {
  const { raw, files } = readConfig({
    schema: engineSchema,
    keys: engineConfigKeys,
    source,
    env,
    files: readFiles,
  });
  return freeze(assemble(raw, files));
}

const readFiles: Reading<typeof engineSchema, Files>['files'] = (tree, folder, tellAt) => {
  const read = <T>(name: string, how: (path: string, tell: (expected: string, found: string) => void) => T) => {
    const path = valueAt(tree, ['control', name]);
    if (typeof path !== 'string' || path === '') return undefined;
    return how(resolve(folder, path), (expected, found) => tellAt(['control', name], expected, found));
  };
  if (valueAt(tree, ['control', 'tls_port']) === undefined) return {};
  const cert = read('cert_file', readCertificates);
  const chain = read('chain_file', readCertificates);
  const key = read('key_file', readPrivateKey);
  return {
    ...(cert === undefined ? {} : { cert: chain === undefined ? cert : `${cert}\n${chain}` }),
    ...(key === undefined ? {} : { key }),
  };
};

function assemble(raw: Raw, { cert, key }: Files): EngineProcessConfig {
  const { listen, secret, tlsPort } = raw.control;
  const tls =
    tlsPort === undefined || cert === undefined || key === undefined ? undefined : { port: tlsPort, cert, key };
  const warnings: string[] = [];
  if (!isLoopback(listen.address))
    warnings.push(
      `The control port listens on ${listen.address}, not only on loopback: whoever is on the way reads the secret and every message, unless edges use the TLS port and this one is closed to them.`,
    );
  if (isWeak(secret.reveal())) warnings.push('The secret of the control port is short or well known.');
  return {
    sip: raw.sip,
    control: {
      host: listen.address,
      port: listen.port,
      secret: secret.reveal(),
      ...(tls === undefined ? {} : { tls }),
    },
    limits: {
      ...engineLimits(raw.engine.limits),
      apps: raw.control.maxApps,
      frameBytes: raw.control.maxFrameOctets,
      appPauseBytes: raw.control.pauseOctets,
      appBacklogBytes: raw.control.backlogOctets,
      appStallMs: raw.control.stallSeconds * 1000,
    },
    timers: engineTimers(raw.engine.timers),
    http: raw.http,
    shutdown: raw.shutdown,
    log: raw.log,
    warnings,
  };
}

function isLoopback(address: string): boolean {
  return isIP(address) === 4 ? address.startsWith('127.') : address === '::1';
}

/** A machine can guess it, or everybody knows it (drachtio-server ships with `cymru`). */
function isWeak(secret: string): boolean {
  return secret.length < 16 || new Set(secret).size < 6;
}
