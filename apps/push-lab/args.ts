/** The command line of the lab: what it says, and what is wrong with it. */
import { parseArgs } from 'node:util';
import { type Behaviour, behaviours } from './phones.ts';

export const help = `Stand-ins of push services for development and CI: APNs, and with --http-port or --all FCM, Web Push and a webhook.

  npm run push-lab -- [options]      as node dist/apps/push-lab/main.js --all [options]

  --all                 all stand-ins, stallable, in a folder that stays (data/push-lab); says in words what to do next
  --json                with --all: one line of JSON instead of words; the report of the phones as JSON too
  --host ADDRESS        where to listen (127.0.0.1)
  --apns-port PORT      HTTP/2 over TLS (8443; 0: any)
  --http-port PORT      FCM with its token endpoint, Web Push and a webhook over HTTPS (8445 with --all, else not started; 0: any)
  --control-port PORT   page and control API, plain HTTP (8444; 0: any)
  --dir PATH            where keys, certificates and reveille-push.yaml are (a new directory, removed at the end); those of the last
                        run are used again
  --key PATH            use this .p8 key instead of a new one
  --key-id ID           its id (made up)
  --team-id ID          its team (LABTEAM001)
  --topic TOPIC         an allowed apns-topic; repeat it; any topic when absent
  --script FILE         a fault script in YAML or JSON (docs/push-lab.md); repeat it
  --rule JSON           a fault rule as for POST /rules; repeat it
  --latency MS          time to each answer of APNs (0)
  --stallable           let connections go silent (POST /stall)

  --phones N            virtual phones that register, sleep, and are woken by pushes of the lab
  --edge URI            where they register: sip:ADDRESS:PORT;transport=udp|tcp|tls
  --edge-ca PATH        certificates to trust there, PEM
  --domain DOMAIN       domain of their users
  --user-prefix TEXT    users are this and a number from 1 (phone)
  --password TEXT       of all of them (none)
  --behaviour LIST      sleep (wakes when it is pushed), late, three-times (a burst of REGISTERs), moves (another address), never;
                        several, by commas, are dealt out in turn (sleep)
  --phone-provider NAME apns or fcm (apns)
  --phone-address IP    where they are (the address that leads to the edge)
  --late-ms MS          how long late phones sleep on (3000)
  --ring-ms MS          how long they ring before they answer (200)
  --awake-ms MS         how long they stay awake for a call (10000)
  --help

Page: http://HOST:CONTROL-PORT/. Control API: GET /seen, GET /phones, GET and DELETE /pushes, GET /events (a JSON line for each push),
GET /stats, GET, POST and DELETE /rules, POST and DELETE /script, POST /goaway {mode, reason}, /drop {when}, /stall, /outage {ms},
/slow-tls {ms}, /stream-limit {limit}, /expire-tokens. Of the others: /http/pushes, /http/events, /http/rules, /http/goaway, /http/drop,
/http/stall, /http/outage, /http/slow-tls and /http/expire-tokens alike; POST /http/subscription.
`;

export interface PhoneArgs {
  readonly count: number;
  readonly edge: string;
  readonly edgeCa: string | undefined;
  readonly domain: string;
  readonly userPrefix: string;
  readonly password: string | undefined;
  readonly behaviours: readonly Behaviour[];
  readonly provider: 'apns' | 'fcm';
  readonly address: string | undefined;
  readonly lateMs: number;
  readonly ringMs: number;
  readonly awakeMs: number;
}

export interface Args {
  readonly help: boolean;
  readonly all: boolean;
  readonly json: boolean;
  readonly host: string;
  readonly apnsPort: number;
  readonly httpPort: number | undefined;
  readonly controlPort: number;
  readonly dir: string | undefined;
  readonly key: string | undefined;
  readonly keyId: string | undefined;
  readonly teamId: string | undefined;
  readonly topics: readonly string[] | undefined;
  readonly scripts: readonly string[];
  readonly rules: readonly string[];
  readonly latencyMs: number;
  readonly stallable: boolean;
  readonly phones: PhoneArgs | undefined;
}

const longestMs = 600_000;

/** Throws with the option, what was expected and what was found. */
export function readArgs(args: readonly string[]): Args {
  const { values } = parseArgs({
    args: [...args],
    options: {
      all: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      host: { type: 'string', default: '127.0.0.1' },
      'apns-port': { type: 'string', default: '8443' },
      'http-port': { type: 'string' },
      'control-port': { type: 'string', default: '8444' },
      dir: { type: 'string' },
      key: { type: 'string' },
      'key-id': { type: 'string' },
      'team-id': { type: 'string' },
      topic: { type: 'string', multiple: true },
      script: { type: 'string', multiple: true, default: [] },
      rule: { type: 'string', multiple: true, default: [] },
      latency: { type: 'string', default: '0' },
      stallable: { type: 'boolean', default: false },
      phones: { type: 'string' },
      edge: { type: 'string' },
      'edge-ca': { type: 'string' },
      domain: { type: 'string' },
      'user-prefix': { type: 'string', default: 'phone' },
      password: { type: 'string' },
      behaviour: { type: 'string', default: 'sleep' },
      'phone-provider': { type: 'string', default: 'apns' },
      'phone-address': { type: 'string' },
      'late-ms': { type: 'string', default: '3000' },
      'ring-ms': { type: 'string', default: '200' },
      'awake-ms': { type: 'string', default: '10000' },
      help: { type: 'boolean', default: false },
    },
  });
  const { all } = values;
  const httpPort = values['http-port'] ?? (all ? '8445' : undefined);
  const phones = values.phones === undefined ? 0 : numberOf('phones', values.phones, 10_000);
  return {
    help: values.help,
    all,
    json: values.json,
    host: values.host,
    apnsPort: numberOf('apns-port', values['apns-port'], 65_535),
    httpPort: httpPort === undefined ? undefined : numberOf('http-port', httpPort, 65_535),
    controlPort: numberOf('control-port', values['control-port'], 65_535),
    dir: values.dir ?? (all ? 'data/push-lab' : undefined),
    key: values.key,
    keyId: values['key-id'],
    teamId: values['team-id'],
    topics: values.topic,
    scripts: values.script,
    rules: values.rule,
    latencyMs: numberOf('latency', values.latency, longestMs),
    stallable: values.stallable || all,
    phones:
      phones === 0
        ? undefined
        : {
            count: phones,
            edge: needed('edge', values.edge),
            edgeCa: values['edge-ca'],
            domain: needed('domain', values.domain),
            userPrefix: values['user-prefix'],
            password: values.password,
            behaviours: values.behaviour.split(',').map((word) => wordOf('behaviour', word.trim(), behaviours)),
            provider: wordOf('phone-provider', values['phone-provider'], ['apns', 'fcm']),
            address: values['phone-address'],
            lateMs: numberOf('late-ms', values['late-ms'], longestMs),
            ringMs: numberOf('ring-ms', values['ring-ms'], longestMs),
            awakeMs: numberOf('awake-ms', values['awake-ms'], longestMs),
          },
  };
}

function numberOf(name: string, text: string, most: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < 0 || value > most)
    throw new Error(`--${name}: expected 0 to ${most}, found ${text}`);
  return value;
}

function needed(name: string, text: string | undefined): string {
  if (text === undefined || text === '') throw new Error(`--${name}: needed with --phones`);
  return text;
}

function wordOf<T extends string>(name: string, text: string, known: readonly T[]): T {
  const found = known.find((word) => word === text);
  if (found === undefined) throw new Error(`--${name}: expected one of ${known.join(', ')}, found ${text}`);
  return found;
}
