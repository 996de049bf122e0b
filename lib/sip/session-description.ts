/** The session description in a body: the body itself, or one part of a multipart body (RFC 5621, RFC 2046 5.1). */

export interface DescribedBody {
  readonly description: string;
  /** the same body around another description, everything else octet for octet */
  with(description: string): string;
}

/** Undefined when there is none. `contentType` is the value of Content-Type. */
export function sessionDescriptionOf(contentType: string | undefined, body: string): DescribedBody | undefined {
  if (body === '' || contentType === undefined) return undefined;
  if (isDescription(contentType)) return { description: body, with: (description) => description };
  if (!/^\s*multipart\//i.test(contentType)) return undefined;
  const quoted = /;\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  const boundary = quoted?.[1] ?? quoted?.[2];
  return boundary === undefined ? undefined : partOf(body, `--${boundary}`);
}

function isDescription(contentType: string): boolean {
  return /^\s*application\/sdp\s*(?:;|$)/i.test(contentType);
}

function partOf(body: string, delimiter: string): DescribedBody | undefined {
  let at = body.startsWith(delimiter) ? 0 : after(body, `\r\n${delimiter}`, 0, 2);
  while (at !== undefined) {
    const begin = at + delimiter.length;
    if (body.startsWith('--', begin)) return undefined;
    const next = after(body, `\r\n${delimiter}`, begin, 0);
    const endOfHead = body.indexOf('\r\n\r\n', begin);
    if (next === undefined) return undefined;
    if (endOfHead >= 0 && endOfHead + 4 <= next) {
      const type = /\r\ncontent-type\s*:([^\r\n]*)/i.exec(body.slice(begin, endOfHead))?.[1] ?? '';
      const from = endOfHead + 4;
      if (isDescription(type))
        return {
          // the line end before a delimiter belongs to the delimiter; a description ends with one of its own
          description: `${body.slice(from, next).replace(/\r\n$/, '')}\r\n`,
          with: (description) => body.slice(0, from) + description + body.slice(next),
        };
    }
    at = next + 2;
  }
  return undefined;
}

function after(body: string, what: string, from: number, skip: number): number | undefined {
  const found = body.indexOf(what, from);
  return found < 0 ? undefined : found + skip;
}
