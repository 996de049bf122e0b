import { TokenUsers } from '../../../lib/register/token-users.ts';
import { describe, expect, it } from 'vitest';
import { memoryAgenda } from '../../../lib/adapters/memory/agenda.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { memoryBus } from '../../../lib/adapters/memory/node-bus.ts';
import type { Domain } from '../../../lib/core/domain.ts';
import type { ClientAnswer, ClientRequest } from '../../../lib/ports/client.ts';
import type { BindingNews } from '../../../lib/ports/node-bus.ts';
import { registerUpstream } from '../../../lib/register/upstream.ts';
import { readRegister, type RegisterDeps } from '../../../lib/register/read-register.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { request, response } from '../../../lib/sip/message.ts';
import { RecordedTransaction } from '../../support/fake-dialog.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const aor = 'alice@example.com';
const domain: Domain = {
  name: 'example.com',
  registration: 'mid-registrar',
  withoutPath: 'accept',
  requirePath: true,
  pbxWithoutPath: 'refuse',
  serviceRoute: false,
  upstream: 'sip:192.0.2.10:5060;transport=udp',
  edgeHost: '192.0.2.1:5060;transport=udp',
  realm: 'example.com',
  algorithms: ['MD5'],
  users: new Map(),
};

/** The edge before a PBX that grants every Contact as it stands, unless `pbx` says otherwise. */
function anEdge(pbx: (sent: ClientRequest) => ClientAnswer = grants) {
  const sent: ClientRequest[] = [];
  const news: BindingNews[] = [];
  const bus = memoryBus();
  void bus.subscribe(aor, (one) => news.push(one));
  const deps: RegisterDeps = {
    store: openMemoryStore(),
    agenda: memoryAgenda(),
    bus,
    client: {
      send: (one) => {
        sent.push(one);
        return Promise.resolve(pbx(one));
      },
    },
    clock: new MovedClock(),
    log: new QuietLog(),
    telemetry: new TelemetryRecorder(),
    contactKey: Buffer.alloc(32, 1),
    flowKey: Buffer.alloc(32, 2),
    gruuKey: Buffer.alloc(32, 3),
    edgeSecret: 'secret',
    tokenUsers: new TokenUsers(0),
    policy: {
      supports: () => 'app',
      providers: ['apns'],
      unsupportedPush: 'accept',
      dialects: [],
      minExpires: 300,
      pushLeadSeconds: 120,
      slackSeconds: 30,
      defaultExpires: 3600,
      maxExpires: 86_400,
      maxBindings: 10,
      wakeLapsedMs: 0,
      pushOverClear: () => 'accept',
      refresh: undefined,
      vapid: new Map(),
      pnsreg: 180,
      upstreamTimeoutMs: 1000,
    },
  };
  let cseq = 0;
  const register = async (
    contacts: readonly string[],
    { from = '<sip:alice@example.com>;tag=1', to = '<sip:alice@example.com>' } = {},
  ) => {
    cseq++;
    const transaction = new RecordedTransaction(
      request(
        'REGISTER',
        'sip:example.com',
        Headers.of([
          ['From', from],
          ['To', to],
          ['Call-ID', 'reg'],
          ['CSeq', `${cseq} REGISTER`],
          ...contacts.map((contact) => ['Contact', contact] as const),
        ]),
      ),
    );
    const asked = await readRegister({ transaction, domain, aor, fromProxy: false }, deps);
    if (asked !== undefined) await registerUpstream(asked, deps);
    return transaction.final;
  };
  return { deps, sent, news, register };
}

function grants({ headers }: ClientRequest): ClientAnswer {
  const kept = headers.list('Contact').filter((contact) => !contact.endsWith('expires=0'));
  return {
    response: response(200, 'OK', Headers.of(kept.map((contact) => ['Contact', contact] as const))),
    local: false,
  };
}

const phone = (host: string, more = ''): string =>
  `<sip:alice@${host};pn-provider=apns;pn-param=T.com.example.voip;pn-prid=aabb>;+sip.instance="<urn:uuid:1>";reg-id=1${more}`;

describe('who may see a token', () => {
  it('[PN-SEC-05] not a phone that gets the Contacts of others from the PBX', async () => {
    const edge = anEdge(({ headers }) => ({
      response: response(
        200,
        'OK',
        Headers.of([
          ['Contact', headers.get('Contact') ?? ''],
          ['Contact', '<sip:alice@10.0.0.9;pn-provider=apns;pn-prid=foreign>;expires=60'],
        ]),
      ),
      local: false,
    }));
    const final = await edge.register([phone('10.0.0.1:1')]);
    expect(final?.headers?.list('Contact')).toContain('<sip:alice@10.0.0.9>;expires=60');
    expect(final?.headers?.print()).not.toContain('foreign');
  });

  it('[PN-SEC-06] not the PBX, also when a phone writes it into From and To', async () => {
    const edge = anEdge();
    await edge.register([phone('10.0.0.1:1')], {
      from: '<sip:alice@example.com;pn-prid=aabb>;tag=1',
      to: '<sip:alice@example.com;pn-prid=aabb>',
    });
    expect(edge.sent[0]?.headers.print()).not.toContain('aabb');
  });
});

describe('a REGISTER with more Contacts than anybody has', () => {
  it('is refused before they are compared with each other', async () => {
    const edge = anEdge();
    const many = Array.from({ length: 2000 }, (_, at) => `<sip:a@10.0.${at >> 8}.${at & 255}>`);
    expect((await edge.register(many))?.status).toBe(403);
    expect(edge.sent).toEqual([]);
  });
});

describe('a phone that moved', () => {
  it('may name its old address with expires=0 beside the new one, as PJSIP does: the PBX is asked for one Contact', async () => {
    const edge = anEdge();
    await edge.register([phone('10.0.0.1:1')]);
    const final = await edge.register([phone('10.0.0.2:2'), phone('10.0.0.1:1', ';expires=0')]);
    expect(final?.status).toBe(200);
    expect(edge.sent[1]?.headers.list('Contact')).toEqual(edge.sent[0]?.headers.list('Contact'));
    const { bindings } = await edge.deps.store.read(aor);
    expect(bindings.map(({ target }) => target)).toEqual(['sip:alice@10.0.0.2:2']);
    expect(edge.news.map(({ is }) => is)).toEqual(['refresh-accepted', 'refresh-accepted']);
  });
});
