/**
 * The app behind a measured engine, as small as an app can be: accepts every REGISTER, and bridges every INVITE to one callee.
 * `node trivial-app.js srf|link HOST PORT SECRET CALLEE`: with drachtio-srf's own objects as anybody would write it, or over the
 * edge's adapter (REGISTER only).
 */
import Srf from 'drachtio-srf';
import { connectSrf } from '../../lib/adapters/srf/connect.ts';
import { Headers } from '../../lib/sip/headers.ts';

const [kind = 'srf', host = '127.0.0.1', port = '9022', secret = '', callee = ''] = process.argv.slice(2);

function withSrf(): void {
  const srf = new Srf();
  void srf.connect({ host, port: Number(port), secret });
  srf.on('connect', (error: Error | null) => {
    if (error) fail(error);
    else process.stdout.write('connected\n');
  });
  srf.on('error', fail);
  srf.use('register', (request, response) =>
    response.send(200, { headers: { Contact: `${request.get('Contact')};expires=3600` } }),
  );
  srf.invite((request, response) => {
    srf.createB2BUA(request, response, callee, {}).then(
      ({ uas, uac }) => {
        uas.on('destroy', () => uac.destroy());
        uac.on('destroy', () => uas.destroy());
      },
      // the caller has been answered
      () => undefined,
    );
  });
}

async function withLink(): Promise<void> {
  await connectSrf({
    host,
    port: Number(port),
    secret,
    engineId: 'bench',
    methods: ['REGISTER'],
    onRequest: (transaction) => {
      const contact = transaction.request.headers.get('Contact') ?? '';
      void transaction.respond({ status: 200, headers: Headers.of([['Contact', `${contact};expires=3600`]]) });
    },
  });
  process.stdout.write('connected\n');
}

function fail(error: unknown): void {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
}

process.on('SIGTERM', () => process.exit(0));
if (kind === 'link') withLink().catch(fail);
else withSrf();
