/** Where fuzzing begins: what real programs have sent (test/fixtures), and messages with all that we read. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Recorded {
  readonly proto?: string;
  readonly text?: string;
}

const most = 300;

/** SIP messages and control frames of the recorded conversations, each once; none where the recordings are not there. */
export function recorded(root: string): { readonly messages: readonly string[]; readonly frames: readonly string[] } {
  const folder = join(root, 'test/fixtures/drachtio');
  const messages = new Set<string>();
  const frames = new Set<string>();
  if (!existsSync(folder)) return { messages: [], frames: [] };
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.jsonl'))) {
    for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
      if (line === '') continue;
      const { proto, text } = JSON.parse(line) as Recorded;
      if (text === undefined || text === '') continue;
      (proto === 'drachtio' ? frames : messages).add(Buffer.from(text, 'utf8').toString('latin1'));
    }
  }
  return { messages: thinned([...messages]), frames: thinned([...frames]) };
}

/** Every nth, so that all conversations have a say. */
function thinned(texts: readonly string[]): string[] {
  const step = Math.max(1, Math.floor(texts.length / most));
  return texts.filter((_, at) => at % step === 0);
}

const register = `REGISTER sip:edge.test SIP/2.0\r
Via: SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bKa1;rport;received=192.0.2.1, SIP/2.0/UDP [2001:db8::1];branch=z9hG4bKa0\r
Max-Forwards: 70\r
From: "A \\"lice" <sip:alice@edge.test>;tag=a1\r
To: <sip:alice@edge.test>\r
Call-ID: c1@10.0.0.1\r
CSeq: 1 REGISTER\r
Contact: <sip:alice@10.0.0.1:5070;transport=tcp;pn-provider=apns;pn-param=ABCD1234.org.example.app.voip&remote;pn-prid=00ff:voip&aa11:remote>;+sip.instance="<urn:uuid:00000000-0000-0000-0000-00000000000A>";reg-id=1;q=0.7;expires=600\r
Supported: path, outbound\r
Authorization: Digest username="alice", realm="edge.test", nonce="n", uri="sip:edge.test", response="0123", qop=auth, nc=00000001, cnonce="x\\"y"\r
X-MPUSH: i:org.example.app:00ff\r
Expires: 3600\r
Content-Length: 0\r
\r
`;

const response = `SIP/2.0 200 OK\r
v: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKa1;rport=5070\r
f: <sip:alice@edge.test>;tag=a1\r
t: sip:alice@edge.test;tag=b2\r
i: c1@10.0.0.1\r
CSeq: 1 REGISTER\r
m: <sip:alice@10.0.0.1>;expires=60,\r
 <sip:al%69ce@[::1]:5061;app-id=org.example.prod;pn-type=apple;pn-tok=00ff?Subject=x>\r
Feature-Caps: *;+sip.pns="apns";+sip.vapid="key";+sip.pnsreg="121";+sip.pnspurr="p"\r
Record-Route: <sip:p1.test;lr>,<sip:p2.test;lr>\r
l: 4\r
\r
body`;

const invite = `INVITE sip:bob@edge.test;transport=udp SIP/2.0\r
Via: SIP/2.0/UDP 10.0.0.1\r
 ;branch=z9hG4bKi1 ;rport\r
From: sip:alice@edge.test;tag=a1\r
To: Bob <sips:bob@edge.test:5061?x=y>\r
Call-ID: i1\r
CSeq: 4294967295 INVITE\r
Contact: *\r
Require: 100rel\r
Session-Expires: 90;refresher=uac\r
Content-Type: application/sdp\r
Content-Length: 7\r
\r
v=0\r
\xff\r\n`;

export const messages: readonly string[] = [
  register,
  response,
  invite,
  invite.replaceAll('INVITE', 'CANCEL'),
  register.replaceAll('REGISTER', 'F%6FO'),
];

/** Names, parameters and values that mean something somewhere. */
export const words: readonly string[] = [
  ...'Via|v|From|f|To|t|Call-ID|i|CSeq|Contact|m|Expires|Content-Length|l|Content-Type|Max-Forwards|Require|Supported'
    .split('|')
    .map((name) => `\r\n${name}: `),
  ...'Record-Route|Route|Path|RAck|RSeq|Session-Expires|Subscription-State|Event|Feature-Caps|Authorization|X-MPUSH'
    .split('|')
    .map((name) => `\r\n${name}: `),
  ...'INVITE|ACK|BYE|CANCEL|REGISTER|PRACK|UPDATE|SUBSCRIBE|NOTIFY|OPTIONS|MESSAGE|REFER|INFO'.split('|'),
  ...'SIP/2.0|SIP/3.0|SIP/2.0 200 OK|SIP/2.0 180 Ringing|SIP/2.0 699 x|SIP/2.0/UDP |SIP/2.0/TCP | SIP/2.0\r\n'.split(
    '|',
  ),
  ...';tag=|;branch=z9hG4bK|;rport|;received=|;expires=|;q=|;lr|;transport=tcp|;maddr=|;ttl=|;reg-id=1|;+sip.instance='.split(
    '|',
  ),
  ...';pn-provider=|;pn-param=|;pn-prid=|;pn-purr=|;app-id=|;pn-type=|;pn-tok=|;pn-uri=|;+sip.pnsreg|apns.dev|fcm|webpush'.split(
    '|',
  ),
  ...'100rel|Digest |username="|[::1]|[2001:db8::1]|:5060|@|sip:a@b|tel:+1|https://a.test/|urn:uuid:'.split('|'),
];
