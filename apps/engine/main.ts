/**
 * The embedded engine as a process of its own, for several edges on one address: each has engine.kind drachtio and connects
 * here. Reads the same file as they do: sip.listen is where SIP comes in, engine.drachtio where edges connect.
 */
import { parseArguments } from '../../lib/config/arguments.ts';
import { followCertificates } from '../../lib/config/certificates.ts';
import { engineOptions, tlsMaterial } from '../../lib/config/engine-options.ts';
import { load, type Config } from '../../lib/config/load.ts';
import { startEngine } from '../../lib/engine/engine.ts';
import { EdgeError } from '../../lib/errors.ts';

const usage = `Usage: npm run engine -- [--config FILE] [--check]

Runs the SIP engine alone, for edges with engine.kind: drachtio. Listens for SIP on sip.listen, and for edges on
engine.drachtio.host and port with its secret (DRACHTIO_HOST, DRACHTIO_PORT, DRACHTIO_SECRET).
`;

async function main(): Promise<void> {
  const asked = parseArguments(process.argv.slice(2));
  if (asked.is === 'help') return void process.stdout.write(usage);
  if (asked.is === 'wrong') {
    process.stderr.write(`${asked.why}\n\n${usage}`);
    process.exit(2);
  }
  const config = load(asked.file === undefined ? {} : { file: asked.file });
  const control = controlOf(config);
  if (asked.is === 'check') return void process.stdout.write('The configuration is right.\n');
  const engine = await startEngine({
    ...engineOptions(config.sip),
    control,
    // edges name the flow with every request, and the cache would beat it for two phones of one address (drachtio-protocol C.3)
    registrationCache: false,
  });
  const { paths, texts, minVersion } = config.sip.tls;
  const certificates = followCertificates({
    paths,
    texts,
    apply: (found) => engine.useTls(tlsMaterial(found, minVersion)),
    told: (_outcome, _texts, why) => {
      const old = why === undefined ? '' : `are wrong, the old ones stay in use: ${why}`;
      process.stdout.write(`SIP engine: certificates ${old === '' ? 'read again' : old}\n`);
    },
  });
  process.on('SIGHUP', () => void certificates.reload());
  process.stdout.write(`SIP engine: edges connect to ${control.host}:${engine.controlPort}\n`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => void engine.close().then(() => process.exit(0)));
}

function controlOf({ engine }: Config): { readonly host: string; readonly port: number; readonly secret: string } {
  if (engine.kind === 'drachtio') return { host: engine.host, port: engine.port, secret: engine.secret.reveal() };
  const expected = 'expected drachtio, because edges connect to this engine as to a drachtio-server';
  throw new EdgeError('EDGE_CONFIG_INVALID', `engine.kind: ${expected}, found ${engine.kind}`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof EdgeError ? `${error.code}: ${error.message}` : String(error)}\n`);
  process.exit(1);
});
