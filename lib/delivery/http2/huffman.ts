/** The Huffman code of HPACK (RFC 7541 5.2, appendix B), for reading. We never write with it: our values are short, and copying them is cheaper. */

/** Bits of each symbol, 0 to 256 (the last is the end mark). The code is canonical: it follows from the lengths alone. */
const lengths: readonly number[] = [
  [13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  [28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  [5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  [13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  [7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  [6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  [20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  [24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  [22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  [21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  [26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  [19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  [20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  [26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  [30],
].flat();

const end = 256;
/** Two places for each inner node: where 0 and 1 lead. At least 0: a node; below: the symbol -1 - value. */
const tree = grown();

function grown(): Int16Array {
  const nodes = new Int16Array(2 * lengths.length);
  let used = 1;
  let code = 0;
  let bits = 0;
  const order = lengths.map((length, symbol) => ({ length, symbol })).toSorted((a, b) => a.length - b.length);
  for (const { length, symbol } of order) {
    code <<= length - bits;
    bits = length;
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const at = 2 * node + ((code >> bit) & 1);
      if (nodes[at] === 0) nodes[at] = used++;
      node = nodes[at] ?? 0;
    }
    nodes[2 * node + (code & 1)] = -1 - symbol;
    code += 1;
  }
  return nodes;
}

/** The octets of a coded string as latin1 text; undefined when the code or its padding is wrong. */
export function huffmanText(bytes: Buffer, from: number, to: number): string | undefined {
  let text = '';
  let node = 0;
  let depth = 0;
  let onesOnly = true;
  for (let at = from; at < to; at++) {
    const octet = bytes[at] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      const one = (octet >> bit) & 1;
      const next = tree[2 * node + one] ?? 0;
      depth += 1;
      onesOnly &&= one === 1;
      if (next >= 0) {
        node = next;
        continue;
      }
      if (-1 - next === end) return undefined;
      text += String.fromCharCode(-1 - next);
      node = 0;
      depth = 0;
      onesOnly = true;
    }
  }
  // what is left over is the beginning of the end mark, shorter than an octet
  return depth < 8 && onesOnly ? text : undefined;
}
