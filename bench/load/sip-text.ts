/**
 * The little SIP the load needs: reads single header fields of messages that servers wrote in the usual form, writes answers.
 * Trusts its peer; it is a measuring tool, not a parser.
 */

/** 0 for a request. */
export function statusOf(text: string): number {
  return text.startsWith('SIP/2.0 ') ? Number(text.slice(8, 11)) : 0;
}

export function methodOf(text: string): string {
  return text.slice(0, text.indexOf(' '));
}

/** Value of the first header of this name, '' when it is not there. */
export function field(text: string, name: string): string {
  const at = text.indexOf(`\r\n${name}: `);
  if (at < 0) return '';
  const from = at + name.length + 4;
  return text.slice(from, text.indexOf('\r\n', from));
}

/** What follows the magic cookie in the first branch. */
export function branchOf(text: string): string {
  const from = text.indexOf('z9hG4bK') + 7;
  let to = from;
  for (let code = text.charCodeAt(to); code > 32 && code !== 59 && code !== 44; code = text.charCodeAt(to)) to += 1;
  return text.slice(from, to);
}

/** Between the first angle brackets. */
export function uriIn(value: string): string {
  const from = value.indexOf('<') + 1;
  return from === 0 ? value : value.slice(from, value.indexOf('>', from));
}

/** User part of a SIP URI or of a name-addr. */
export function userIn(value: string): string {
  const from = value.indexOf('sip:') + 4;
  return value.slice(from, value.indexOf('@', from));
}

/** An answer to `request`; `lines` are more header lines, each with its line end; with `tag` the To gets it unless it has one. */
export function answer(request: string, status: string, tag: string, lines: string, body = ''): string {
  let out = `SIP/2.0 ${status}\r\n`;
  const end = request.indexOf('\r\n\r\n');
  let from = request.indexOf('\r\n') + 2;
  while (from > 1 && from < end + 2) {
    const to = request.indexOf('\r\n', from);
    const line = request.slice(from, to);
    switch (line.charCodeAt(0)) {
      case 86: // Via
        if (line.startsWith('Via:')) out += `${line}\r\n`;
        break;
      case 70: // From
        if (line.startsWith('From:')) out += `${line}\r\n`;
        break;
      case 84: // To
        if (line.startsWith('To:'))
          out += tag === '' || line.includes(';tag=') ? `${line}\r\n` : `${line};tag=${tag}\r\n`;
        break;
      case 67: // Call-ID, CSeq
        if (line.startsWith('Call-ID:') || line.startsWith('CSeq:')) out += `${line}\r\n`;
        break;
      case 82: // Record-Route
        if (line.startsWith('Record-Route:')) out += `${line}\r\n`;
        break;
    }
    from = to + 2;
  }
  return `${out}${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Monotonic and the same in every process of this machine, ms. */
export function wallMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export const sdp =
  'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n';
