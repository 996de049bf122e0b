/**
 * Every message of RFC 4475 and RFC 5118 and what becomes of it: the outcomes of sip-edge-requirements.md section 12 as this edge
 * chooses among them. `test/scenario/torture.test.ts` sends each octet for octet and docs/engine-conformance.md shows the table.
 *
 * The PBX of the test answers 404 to INVITE and 200 to everything else, so `forwarded` with 404 is a call that reached it.
 */

export interface Torture {
  readonly suite: 'rfc4475' | 'rfc5118';
  readonly name: string;
  readonly section: string;
  /** answers the sender gets, 100 left out */
  readonly answers: readonly number[];
  /** reaches the PBX, as this method */
  readonly forwarded?: string;
  /** the sender's connection is closed, where it has one */
  readonly closes?: true;
  /** what is different over a connection, where that is more than `closes` */
  readonly overTcp?: { readonly answers: readonly number[]; readonly forwarded?: string; readonly closes?: true };
  readonly overWs?: Torture['overTcp'];
  /** octets that must be in what reaches the PBX, and octets that must not */
  readonly carries?: readonly string[];
  readonly lacks?: readonly string[];
  /** octets that must be in the first answer */
  readonly told?: readonly string[];
  /** what is noteworthy about the outcome */
  readonly remark: string;
}

const bad = { answers: [400], closes: true } as const;
const dropped = { answers: [] } as const;
const called = { answers: [404], forwarded: 'INVITE' } as const;
const asked = { answers: [200], forwarded: 'OPTIONS' } as const;
const registered = { answers: [200], forwarded: 'REGISTER' } as const;

const rfc4475: readonly Omit<Torture, 'suite'>[] = [
  {
    name: 'wsinv',
    section: '3.1.1.1',
    answers: [481],
    told: ['390skdjuw', 'z9hG4bK9ikj8', 'z9hG4bK30239', 'CSeq: 9 INVITE'],
    remark: 'read in full; its To tag names a dialog nobody has',
  },
  {
    name: 'intmeth',
    section: '3.1.1.2',
    answers: [501],
    told: ['\\\0 DEL:\\\x7f"', '_token~1'],
    remark: 'well formed; a method with a percent sign is not handed on, because drachtio-srf would unescape it',
  },
  {
    name: 'esc01',
    section: '3.1.1.3',
    ...called,
    carries: ['INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0', 'To: <sip:%75se%72@example.com>'],
    remark: 'escapes pass as they are; as key they count as their characters, unescaped once',
  },
  {
    name: 'escnull',
    section: '3.1.1.4',
    ...registered,
    carries: ['null-%00-null@example.com'],
    told: ['<sip:%00@host5.example.com>', '<sip:%00%00@host5.example.com>'],
    remark: 'two bindings of an AOR that is not cut at the NUL',
  },
  { name: 'esc02', section: '3.1.1.5', answers: [501], remark: 'is not REGISTER, and `C%6Fntact` is not Contact' },
  {
    name: 'lwsdisp',
    section: '3.1.1.6',
    ...asked,
    carries: ['caller<sip:caller@example.com>'],
    remark: 'no space before `<`',
  },
  {
    name: 'longreq',
    section: '3.1.1.7',
    ...called,
    carries: [`Unknown-${'Long'.repeat(20)}-Name: unknown-${'long'.repeat(20)}-value;`],
    told: ['sip33.example.com', 'sip2.example.com', `very${'long'.repeat(50)}branchvalue`],
    remark: 'all 34 Via values come back',
  },
  {
    name: 'dblreq',
    section: '3.1.1.8',
    ...registered,
    lacks: ['INVITE sip:joe'],
    overTcp: { answers: [], forwarded: 'REGISTER INVITE', closes: true },
    overWs: bad,
    remark:
      'a datagram ends with its Content-Length; on a connection what follows is the next message, and after that one noise; in one WebSocket message it is a fault (EDGE-WS-03)',
  },
  {
    name: 'semiuri',
    section: '3.1.1.9',
    ...asked,
    carries: ['sip:user;par=u%40example.net@example.com'],
    remark: 'the semicolon belongs to the user',
  },
  {
    name: 'transports',
    section: '3.1.1.10',
    ...asked,
    told: ['SIP/2.0/SCTP t2.example.com', 'SIP/2.0/UNKNOWN t4.example.com'],
    remark: 'only the way back over the connection it came on matters',
  },
  {
    name: 'mpart01',
    section: '3.1.1.11',
    answers: [200],
    forwarded: 'MESSAGE',
    carries: ['0\x82\x01R\x06\x09*\x86H\x86\xf7', '\xe5{e\xbc\x99\xd0\x05\r\n--7a9cbec02ceef655--\r\n'],
    remark: 'the binary body arrives octet for octet',
  },
  {
    name: 'unreason',
    section: '3.1.1.12',
    ...dropped,
    remark: 'answers nothing of ours; its reason phrase passes in a real call',
  },
  { name: 'noreason', section: '3.1.1.13', ...dropped, remark: 'likewise; an empty reason phrase is read' },
  { name: 'badinv01', section: '3.1.2.1', ...bad, remark: 'empty parameters in Via' },
  {
    name: 'clerr',
    section: '3.1.2.2',
    ...bad,
    overTcp: dropped,
    remark: 'shorter than its Content-Length; a connection waits for the rest and is closed when it does not come',
  },
  { name: 'ncl', section: '3.1.2.3', ...bad, remark: 'negative Content-Length' },
  {
    name: 'scalar02',
    section: '3.1.2.4',
    ...bad,
    remark: 'CSeq above 2^32-1; the other numbers alone count as absent',
  },
  { name: 'scalarlg', section: '3.1.2.5', ...dropped, closes: true, remark: 'a response that cannot be read' },
  { name: 'quotbal', section: '3.1.2.6', ...bad, remark: 'the quote in To never ends' },
  { name: 'ltgtruri', section: '3.1.2.7', ...bad, remark: 'brackets around the request-URI' },
  { name: 'lwsruri', section: '3.1.2.8', ...bad, remark: 'white space in the request-URI' },
  { name: 'lwsstart', section: '3.1.2.9', ...bad, remark: 'two spaces in the start line' },
  { name: 'trws', section: '3.1.2.10', ...bad, remark: 'spaces after the version' },
  { name: 'escruri', section: '3.1.2.11', answers: [400], remark: 'header fields in the request-URI' },
  {
    name: 'baddate',
    section: '3.1.2.12',
    ...called,
    carries: ['Date: Fri, 01 Jan 2010 16:00:00 EST'],
    remark: 'nobody here reads Date',
  },
  { name: 'regbadct', section: '3.1.2.13', ...bad, remark: 'a Contact with `?` needs brackets' },
  { name: 'badaspec', section: '3.1.2.14', ...asked, remark: 'tolerated: spaces inside the brackets of To' },
  { name: 'baddn', section: '3.1.2.15', answers: [400], remark: 'a comma in a display name without quotes' },
  { name: 'badvers', section: '3.1.2.16', answers: [505], remark: 'SIP/7.0' },
  { name: 'mismatch01', section: '3.1.2.17', ...bad, remark: 'OPTIONS with CSeq INVITE' },
  { name: 'mismatch02', section: '3.1.2.18', ...bad, remark: 'unknown method with CSeq INVITE' },
  { name: 'bigcode', section: '3.1.2.19', ...dropped, closes: true, remark: 'no status code' },
  { name: 'badbranch', section: '3.2.1', ...asked, remark: 'told apart as in RFC 2543, by Call-ID, CSeq and tags' },
  { name: 'insuf', section: '3.3.1', ...bad, told: ['z9hG4bKkdj.insuf'], remark: 'without From, To and Call-ID' },
  { name: 'unkscm', section: '3.3.2', answers: [416], remark: 'unknown scheme of the request-URI' },
  { name: 'novelsc', section: '3.3.3', answers: [416], remark: 'known, but no SIP' },
  { name: 'unksm2', section: '3.3.4', answers: [400], remark: 'the edge is a (mid-)registrar: To is no AOR' },
  {
    name: 'bext01',
    section: '3.3.5',
    answers: [420],
    told: ['Unsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis'],
    remark: 'Proxy-Require; Require is for the far end',
  },
  {
    name: 'invut',
    section: '3.3.6',
    ...called,
    carries: ['application/unknownformat', '<audio>\r\n <pcmu port="443"/>\r\n</audio>\r\n'],
    remark: 'bodies are not looked at',
  },
  {
    name: 'regaut01',
    section: '3.3.7',
    ...registered,
    carries: ['Authorization: NoOneKnowsThisScheme opaque-data=here'],
    remark: "credentials are the PBX's to judge; where the edge is the registrar it asks with 401 for schemes it knows",
  },
  {
    name: 'multi01',
    section: '3.3.8',
    ...bad,
    overTcp: dropped,
    remark: 'two of each header there may be one of; two octets shorter than it says, so a connection waits for them',
  },
  { name: 'mcl01', section: '3.3.9', ...bad, remark: 'two lengths' },
  { name: 'bcast', section: '3.3.10', ...dropped, remark: 'answers nothing of ours, and no Via of it is ever sent to' },
  { name: 'zeromf', section: '3.3.11', answers: [483], remark: 'no hop left' },
  {
    name: 'cparam01',
    section: '3.3.12',
    ...registered,
    told: ['<sip:+19725552222@gw1.example.net>;unknownparam'],
    remark: 'a parameter behind a bare URI belongs to the header',
  },
  {
    name: 'cparam02',
    section: '3.3.13',
    ...registered,
    told: ['<sip:+19725552222@gw1.example.net;unknownparam>'],
    remark: 'inside brackets it belongs to the URI',
  },
  {
    name: 'regescrt',
    section: '3.3.14',
    answers: [403],
    remark:
      'the Contact is the AOR itself, a loop (EDGE-REG-14); with another host its escaped header is kept and returned',
  },
  {
    name: 'sdp01',
    section: '3.3.15',
    ...called,
    carries: ['Accept: text/nobodyKnowsThis'],
    remark: 'what the far end can show is its business',
  },
  {
    name: 'inv2543',
    section: '3.4.1',
    ...called,
    carries: ['Max-Forwards: 70'],
    overTcp: { answers: [400], closes: true },
    remark: 'no branch, no tag, no Max-Forwards, no Content-Length; the last is needed on a connection',
  },
];

const printedTooLong = 'the RFC prints a Content-Length above the length of its body';

const rfc5118: readonly Omit<Torture, 'suite'>[] = [
  { name: 'ipv6-good', section: '4.1', ...registered, remark: 'an address in brackets' },
  { name: 'ipv6-bad', section: '4.2', answers: [400], remark: 'an address without brackets' },
  { name: 'port-ambiguous', section: '4.3', ...registered, remark: 'what looks like a port is part of the address' },
  {
    name: 'port-unambiguous',
    section: '4.4',
    ...registered,
    carries: ['REGISTER sip:[2001:db8::10]:5070 SIP/2.0'],
    remark: 'a port',
  },
  {
    name: 'via-received-param-with-delim',
    section: '4.5',
    answers: [481],
    remark: 'received in brackets is replaced by the real source',
  },
  {
    name: 'via-received-param-no-delim',
    section: '4.5',
    answers: [200],
    remark: 'without brackets, likewise; OPTIONS to the edge itself',
  },
  {
    name: 'ipv6-in-sdp',
    section: '4.6',
    ...bad,
    overTcp: dropped,
    remark: `${printedTooLong}; with the right one it is forwarded`,
  },
  {
    name: 'mult-ip-in-header',
    section: '4.7',
    answers: [481],
    told: ['[2001:db8::9:1]:6050', '192.0.2.200'],
    remark: 'Vias of both families',
  },
  {
    name: 'mult-ip-in-sdp',
    section: '4.8',
    ...called,
    carries: ['c=IN IP6 2001:db8::1'],
    overTcp: { answers: [], forwarded: 'INVITE', closes: true },
    overWs: bad,
    remark: 'the RFC prints a Content-Length 8 below the length of its body: the rest is noise on a connection',
  },
  {
    name: 'ipv4-mapped-ipv6',
    section: '4.9',
    ...called,
    carries: ['c=IN IP6 ::ffff:192.0.2.2'],
    overTcp: { answers: [], forwarded: 'INVITE', closes: true },
    overWs: bad,
    remark: 'the RFC prints a Content-Length 9 below the length of its body',
  },
  { name: 'ipv6-bug-abnf-3-colons', section: '4.10', ...asked, remark: 'tolerated and passed on as written' },
  { name: 'ipv6-correct-abnf-2-colons', section: '4.10', ...asked, remark: 'the form that is meant' },
];

export const torture: readonly Torture[] = [
  ...rfc4475.map((each) => ({ suite: 'rfc4475' as const, ...each })),
  ...rfc5118.map((each) => ({ suite: 'rfc5118' as const, ...each })),
];

/** What to expect over this transport; a WebSocket has the length of its message by itself, as a datagram has. */
export function outcomeOver(message: Torture, transport: string): Pick<Torture, 'answers' | 'forwarded' | 'closes'> {
  if (transport === 'udp') {
    const { answers, forwarded } = message;
    return forwarded === undefined ? { answers } : { answers, forwarded };
  }
  return (transport === 'tcp' ? message.overTcp : message.overWs) ?? message;
}
