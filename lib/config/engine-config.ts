/**
 * The config of the SIP engine as a process of its own (`npm run engine`): a YAML file with the edge's keys where both mean the
 * same, a drachtio.conf.xml, or the command line; the environment wins over files, the command line over all.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { assembleSip, readTlsFiles, type SipConfig, type TlsFiles } from './engine-options.ts';
import { type EngineSections, limitsSection, timersSection } from './engine-sections.ts';
import { fallback, keysOf, optional, required, type KeyRow } from './keys.ts';
import { controlSecret, hostPort, integer, text } from './kinds.ts';
import { mistake } from './mistake.ts';
import { logSection } from './schema.ts';
import type { Secret } from './secret.ts';
import { sip } from './sip-schema.ts';
import { freeze, type Camel, type Environment, readConfig, type Reading, type Source } from './tree.ts';

const mebi = 1_048_576;
const filePath = text('the path of a file, relative to the folder of the config file', /^[^\0]{1,4096}$/);

const control = z
  .strictObject({
    listen: fallback(hostPort, '127.0.0.1:9022', {
      doc: 'Where edges connect. Elsewhere than on loopback only with a secret of at least 16 characters, and better over TLS only.',
      env: 'REVEILLE_CONTROL_LISTEN',
    }),
    secret: required(controlSecret('the secret edges must show,'), {
      doc: 'What edges must show: their engine.drachtio.secret.',
      env: 'DRACHTIO_SECRET',
    }),
    tls_port: optional(integer(0, 65_535), {
      doc: 'A second port on the same address, for edges with engine.drachtio.transport tls. 0 takes a free one.',
    }),
    cert_file: optional(filePath, {
      doc: 'PEM certificate of the TLS port with its chain; that of sip.tls when left out. Read again as that is.',
    }),
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
    const { listen, secret, tls_port: tlsPort, pause_octets: pause, backlog_octets: backlog } = context.value;
    if (tlsPort !== undefined && tlsPort !== 0 && tlsPort === listen.port)
      mistake(context, ['tls_port'], 'another port than that of listen', `${tlsPort}`);
    if (pause >= backlog) mistake(context, ['pause_octets'], `less than backlog_octets (${backlog})`, `${pause}`);
    if (!isLoopback(listen.address) && isWeak(secret.reveal()))
      mistake(context, ['secret'], 'at least 16 characters, because listen is not on loopback', 'a shorter one');
  });

const engineSchema = z
  .strictObject({
    sip: sip.prefault({}),
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
  })
  .check((context) => {
    const {
      control: { tls_port: port, cert_file: cert, key_file: key },
      sip: { tls },
    } = context.value;
    if (port === undefined) return;
    if (cert === undefined && key === undefined && tls.cert_file !== undefined) return;
    if (cert === undefined)
      mistake(context, ['control', 'cert_file'], 'a file, because there is a tls_port', 'nothing');
    if (key === undefined) mistake(context, ['control', 'key_file'], 'a file, because there is a tls_port', 'nothing');
  });

export const engineConfigKeys: readonly KeyRow[] = keysOf(engineSchema);

type Raw = Camel<z.output<typeof engineSchema>>;

export interface EngineProcessConfig {
  readonly sip: SipConfig;
  readonly control: {
    readonly host: string;
    readonly port: number;
    readonly secret: Secret;
    readonly tls?: { readonly port: number; readonly files: TlsFiles };
  };
  readonly engine: EngineSections;
  /** of apps, as lib/engine/options.ts names them */
  readonly appLimits: {
    readonly apps: number;
    readonly frameBytes: number;
    readonly appPauseBytes: number;
    readonly appBacklogBytes: number;
    readonly appStallMs: number;
  };
  readonly http: Raw['http'];
  readonly shutdown: Raw['shutdown'];
  readonly log: Raw['log'];
  /** what an operator should know, in whole sentences */
  readonly warnings: readonly string[];
}

interface Files {
  readonly sip: TlsFiles;
  readonly control: TlsFiles;
}

/** Throws EdgeError EDGE_CONFIG_INVALID with every mistake in its message. */
export function loadEngineConfig(source: Source, env: Environment): EngineProcessConfig {
  const { raw, files } = readConfig({ schema: engineSchema, keys: engineConfigKeys, source, env, files: readFiles });
  return freeze(assemble(raw, files));
}

const readFiles: Reading<typeof engineSchema, Files>['files'] = (tree, folder, tellAt) => ({
  sip: readTlsFiles(['sip', 'tls'], tree, folder, tellAt),
  control: readTlsFiles(['control'], tree, folder, tellAt),
});

function assemble({ sip: rawSip, control: rawControl, ...raw }: Raw, files: Files): EngineProcessConfig {
  const { listen, secret, tlsPort } = rawControl;
  const own = files.control.texts.cert === undefined ? files.sip : files.control;
  const warnings: string[] = [];
  if (!isLoopback(listen.address))
    warnings.push(
      `The control port listens on ${listen.address}, not only on loopback: whoever is on the way reads the secret and every message, unless edges use the TLS port and this one is closed to them.`,
    );
  if (isWeak(secret.reveal())) warnings.push('The secret of the control port is short or well known.');
  return {
    ...raw,
    sip: assembleSip(rawSip, files.sip),
    control: {
      host: listen.address,
      port: listen.port,
      secret,
      ...(tlsPort === undefined ? {} : { tls: { port: tlsPort, files: own } }),
    },
    appLimits: {
      apps: rawControl.maxApps,
      frameBytes: rawControl.maxFrameOctets,
      appPauseBytes: rawControl.pauseOctets,
      appBacklogBytes: rawControl.backlogOctets,
      appStallMs: rawControl.stallSeconds * 1000,
    },
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
