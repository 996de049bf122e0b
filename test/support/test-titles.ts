/**
 * The titles in the text of a test file and the requirement ids they begin with. Read from the text and not from a run, because most
 * tests over sockets take their time and some need programs that are not everywhere.
 */

export interface TestTitle {
  readonly ids: readonly string[];
  /** without the ids */
  readonly title: string;
}

const begin = /(?<![\w.$])(?:describe|it|test)(?=[.(])/g;
const modifier = /\.(\w+)/y;
const heading = /\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/sy;
const leadingIds = /^(?:\[[A-Z]+-[A-Z0-9-]+\]\s*)+/;

/** Calls of these give a function that takes the title. */
const takesArguments = new Set(['each', 'for', 'skipIf', 'runIf']);
/** What stands there is not run, or is expected to fail. */
const claimsNothing = new Set(['skip', 'todo', 'fails']);

/**
 * Only titles that begin with ids. `[$id]` in the title of a table of tests stands for every `id: '...'` of the file, where one row
 * may name several: `'PN-REG-08] [PN-REG-10'`.
 */
export function titlesIn(source: string): readonly TestTitle[] {
  const rowIds = [...source.matchAll(/\bid: '([A-Z][A-Z0-9-]+(?:\] \[[A-Z0-9-]+)*)'/g)].map(([, id]) => id ?? '');
  return [...source.matchAll(begin)].flatMap(({ index, 0: word }) => {
    const raw = titleAt(source, index + word.length);
    if (raw === undefined) return [];
    const all = raw.startsWith('[$id]') ? [...new Set(rowIds)].map((id) => raw.replace('$id', id)) : [raw];
    return all.flatMap((text) => {
      const [ids] = leadingIds.exec(text) ?? [''];
      if (ids === '') return [];
      return { ids: [...ids.matchAll(/\[([A-Z0-9-]+)\]/g)].map(([, id]) => id ?? ''), title: text.slice(ids.length) };
    });
  });
}

/** The title of the call whose modifiers begin at `at`. */
function titleAt(source: string, at: number): string | undefined {
  let here = at;
  for (let found = matchAt(modifier, source, here); found !== null; found = matchAt(modifier, source, here)) {
    const [text, name = ''] = found;
    if (claimsNothing.has(name)) return undefined;
    here += text.length;
    if (takesArguments.has(name)) here = afterParentheses(source, here);
  }
  return matchAt(heading, source, here)?.[2];
}

function matchAt(pattern: RegExp, source: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(source);
}

/** Where the parentheses that open at `at` are closed; parentheses in strings and comments do not count. */
function afterParentheses(source: string, at: number): number {
  const token = /\/\/[^\n]*|\/\*[^]*?\*\/|(['"`])(?:\\.|(?!\1)[^\\])*\1|[()]/gs;
  token.lastIndex = at;
  let depth = 0;
  for (let found = token.exec(source); found !== null; found = token.exec(source)) {
    if (found[0] === '(') depth++;
    if (found[0] === ')' && --depth === 0) return token.lastIndex;
  }
  return source.length;
}
