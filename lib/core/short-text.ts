/**
 * Stored JSON in two thirds of its octets: what packed bindings always say, each for a control character. JSON never contains those as
 * they are (RFC 8259 7), so nothing else can be taken for one, and a text that was written without them is read as it is.
 */

/**
 * The n-th stands for the character n + 1. They lie in stores: none may ever change or move, and 31 is all there is room for. Some hold
 * a mark of packed-binding, which a contact has in its place.
 */
const phrases = [
  '[{"i":"',
  '"},{"i":"',
  '","c":"<\u007f',
  ';pn-provider=',
  ';pn-param=\u0082',
  ';pn-prid=\u0081',
  ':voip&\u0083:remote',
  '>;+sip.instance=\\"<\u0080>\\"',
  ';reg-id=1',
  ';expires=',
  '","n":"urn:uuid:',
  '","r":1,"l":"',
  '","l":"',
  '","s":',
  ',"f":{"t":"',
  '","a":"',
  '","p":',
  ',"e":"',
  '"},"u":{"p":"',
  '","e":"production","m":"',
  '","m":"',
  '","t":[{"k":"voip","h":"',
  '"},{"k":"alert","h":"',
  '","t":[{"k":"fcm","t":"',
  '"}],"a":"',
  '"},"g":',
  ',"e":',
  ',"x":',
  ',"w":"',
  '"}]',
  '00000',
] as const;

const signs = new Map<string, string>(phrases.map((phrase, n) => [phrase, String.fromCharCode(n + 1)]));
/** the longest first, so that none is cut by a shorter one */
const anyPhrase = new RegExp(
  phrases
    .toSorted((a, b) => b.length - a.length)
    .map((phrase) => phrase.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
    .join('|'),
  'g',
);
const anySign = /[\u0001-\u001f]/g;

/** `json`: as JSON.stringify gives it without indentation. */
export function shorten(json: string): string {
  return json.replace(anyPhrase, (phrase) => signs.get(phrase) ?? phrase);
}

/** The JSON again, also of a text that was never shortened. */
export function lengthen(text: string): string {
  return text.replace(anySign, (sign) => phrases[sign.charCodeAt(0) - 1] ?? sign);
}
