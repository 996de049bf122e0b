/**
 * Masks what must never be read in a log or an error: push tokens, digest answers, keys, passwords. It works on text, also on
 * text that has been put into JSON, so it catches a whole Contact or Authorization that somebody logged by mistake.
 * It is the net below the rule, not the rule: whoever logs still names fields and hashes tokens.
 */

/** Stands where something was taken out. */
export const mask = '[masked]';

// In JSON a quote inside text is `\"` and a line end is `\r\n` in letters, so each pattern takes both spellings,
// and none runs past an unescaped quote.
const patterns: readonly (readonly [RegExp, string])[] = [
  // private keys and certificates
  [/-----BEGIN [A-Z0-9 ]{1,40}-----(?:(?!-----END)[^"])*(?:-----END [A-Z0-9 ]{1,40}-----)?/g, mask],
  // whole header lines with credentials
  [/\b((?:Proxy-)?Authorization|Cookie)(\s*:\s*)(?:[^"\\\r\n]|\\(?![rn])[\s\S])+/gi, `$1$2${mask}`],
  // JSON members by name
  [
    /"((?:proxy-)?authorization|password|passwd|secret|prid|pn_?prid|device_?token|token|tokens|jwt|ha1(?:_?(?:md5|sha256))?|md5|sha256|private_?key)":(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\])/gi,
    `"$1":"${mask}"`,
  ],
  // push parameters in every dialect (RFC 8599 8.1 and older ones), also escaped once
  [
    /\b((?:pn|fcm)-[a-z0-9-]*(?:prid|purr|tok(?:en)?)|pn-uri)(\s*(?:=|%3D)\s*)(?:\\?"(?:[^"\\]|\\(?!").)*\\?"|[^\s;>,"\\?]+)/gi,
    `$1$2${mask}`,
  ],
  // digest answers (RFC 3261 20.7), quoted or not
  [/(?<![\w-])(response|rspauth|cnonce|auts|opaque)(\s*=\s*)(?:\\?"[^"\\]*\\?"|[^\s,;"\\]+)/gi, `$1$2${mask}`],
  // media and Web Push keys (RFC 4566 5.12, RFC 4568 6.1, RFC 8292 3)
  [/(?<![\w-])(k=)[^\s,;"\\]+/g, `$1${mask}`],
  [/\b(inline:)[^\s|"\\]+/g, `$1${mask}`],
  // tokens of push requests
  [/(\/3\/device\/)[^\s"\\/?]+/g, `$1${mask}`],
  [/\b(Bearer|Basic)(\s+)[A-Za-z0-9\-._~+/]{8,}=*/gi, `$1$2${mask}`],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, mask],
  // passwords in addresses
  [/((?:\b[a-z][a-z0-9+.-]*:\/\/|\bsips?:)[^\s:@/"\\;<>]*:)[^\s@/"\\;<>]+(?=@)/gi, `$1${mask}`],
  // a bare device token or SHA-256
  [/(?<![0-9A-Fa-f])[0-9A-Fa-f]{64,}(?![0-9A-Fa-f])/g, mask],
];

/** `text` with every secret pattern masked. */
export function redact(text: string): string {
  let clean = text;
  for (const [pattern, by] of patterns) clean = clean.replace(pattern, by);
  return clean;
}
