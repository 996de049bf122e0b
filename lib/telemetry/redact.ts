/**
 * Masks what must never be read in a log or an error: push tokens, digest answers, keys, passwords. It knows them by how they
 * are written, so it catches a whole Contact or Authorization that somebody logged by mistake. It is the net below the rule,
 * not the rule: whoever logs still names fields and hashes tokens.
 */

/** Stands where something was taken out. */
export const mask = '[masked]';

const secretName =
  '(?:proxy-)?authorization|password|passwd|secret|prid|pn_?prid|device_?token|tokens?|jwt|ha1(?:_?(?:md5|sha256))?|md5|sha256|private_?key';
const secretMember = new RegExp(`^(?:${secretName})$`, 'i');

// Text may quote JSON, so a quote may have a backslash before it. Whatever repeats without an end in sight is bounded,
// and none of them begins by looking behind: both keep the time in proportion to the length.
const patterns: readonly (readonly [RegExp, string])[] = [
  // private keys and certificates
  [/-----BEGIN [A-Z0-9 ]{1,40}-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z0-9 ]{1,40}-----)?/g, mask],
  // whole header lines with credentials
  [/((?:Proxy-)?Authorization|Cookie)(\s{0,9}:\s{0,9})[^\r\n]+/gi, `$1$2${mask}`],
  // JSON inside text
  [new RegExp(`"(${secretName})(\\\\?":\\s{0,9})(\\\\?")(?:(?!\\3)[^\\r\\n]){0,4096}`, 'gi'), `"$1$2$3${mask}`],
  // push parameters in every dialect (RFC 8599 8.1 and older ones), also escaped once
  [
    /((?:pn|fcm)-(?:[a-z0-9]{1,20}-){0,4}(?:prid|purr|tok(?:en)?)|pn-uri)(\s{0,9}(?:=|%3D)\s{0,9})(?:\\?"[^"]*|[^\s;>,"\\?]+)/gi,
    `$1$2${mask}`,
  ],
  // digest answers (RFC 3261 20.7), quoted or not
  [/(response|rspauth|cnonce|auts|opaque)(\s{0,9}=\s{0,9})(?:\\?"[^"]*|[^\s,;"\\]+)/gi, `$1$2${mask}`],
  // media and Web Push keys (RFC 4566 5.12, RFC 4568 6.1, RFC 8292 3)
  [/(k=)(?<=(?:^|[^\w-]|\\[rnt])k=)[^\s,;"\\]+/g, `$1${mask}`],
  [/(inline:)[^\s|"\\]+/g, `$1${mask}`],
  // tokens of push requests
  [/(\/3\/device\/)[^\s"\\/?]+/g, `$1${mask}`],
  [/(Bearer|Basic)(\s{1,9})[A-Za-z0-9\-._~+/]{8,}=*/gi, `$1$2${mask}`],
  [/eyJ[\w-]{1,512}\.[\w-]+\.[\w-]*/g, mask],
  // passwords in addresses
  [/((?::\/\/|sips?:)[^\s:@/"\\;<>]{0,128}:)[^\s@/"\\;<>]{1,256}(?=@)/gi, `$1${mask}`],
  // a bare device token or SHA-256
  [/[0-9A-Fa-f]{64,}/g, mask],
];

/** Some word of every pattern above, as it also stands in JSON: a line without any has nothing to mask. */
const suspicious =
  /-----BEGIN|authoriz|cookie|passw|secret|prid(?!Hash)|purr|tok(?!en-dead)|jwt|ha1|md5|sha256|private|pn-uri|response|rspauth|nonce|auts|opaque|k=|inline:|\/3\/device|bearer|basic|eyJ|(?::\/\/|sips?:)[^@"]{1,384}@|[0-9a-f]{64}/i;

/** `text` with every secret masked. */
export function redact(text: string): string {
  if (!suspicious.test(text)) return text;
  let clean = text;
  for (const [pattern, by] of patterns) clean = clean.replace(pattern, by);
  return clean;
}

/** The same for one line of JSON, which stays JSON; members named like a secret lose their value whatever it is. */
export function redactJson(line: string): string {
  if (!suspicious.test(line)) return line;
  const end = line.endsWith('\n') ? '\n' : '';
  try {
    return JSON.stringify(clean(JSON.parse(line))) + end;
  } catch {
    return JSON.stringify({ level: 'error', msg: 'A line that was not JSON has been left out.' }) + end;
  }
}

function clean(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(([name, one]) => [redact(name), isSecret(name, one) ? mask : clean(one)]);
  return Object.fromEntries(members) as unknown;
}

function isSecret(name: string, value: unknown): boolean {
  return value !== null && typeof value !== 'boolean' && secretMember.test(name);
}
