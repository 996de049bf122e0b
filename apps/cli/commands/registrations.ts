/** `reveille registrations`: what is registered at PBXs and what phones are registered here, in the manner of `pjsip show registrations`. */
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { cellOf, commonOptions, commonUsage, readWords, type Command } from '../command.ts';
import { type Answered, complaint, type RunningEdge, runningEdge } from '../running-edge.ts';

const usage = `Usage: reveille registrations [list] [--outbound | --inbound] [--state STATE] [--domain DOMAIN] [--limit N | --all]
       reveille registrations show AOR
       reveille registrations register | stop | start AOR
       reveille registrations register --all

list      accounts that the edge keeps registered at PBXs (outbound) and phones that are registered here (inbound)
show      those of one user
register  registers an account now
stop      de-registers an account and leaves it so until a start

  --outbound, --inbound   one of the two only
  --state STATE   outbound: registered, registering, rejected, unregistered, stopped; inbound: awake, asleep, plain, unpushable
  --domain DOMAIN one domain only
  --limit N       so many rows (100)
  --all           every row; with register: every account, at on_behalf.registrations_per_second
${commonUsage}`;

const options = {
  ...commonOptions,
  outbound: { type: 'boolean' },
  inbound: { type: 'boolean' },
  state: { type: 'string' },
  domain: { type: 'string' },
  limit: { type: 'string' },
  all: { type: 'boolean' },
} as const;

interface Page {
  readonly outbound: readonly Row[];
  readonly inbound: readonly Row[];
  readonly totals?: { readonly outbound: Counts; readonly inbound: Counts | null } | undefined;
  readonly next?: string | null;
}
type Row = Readonly<Record<string, unknown>>;
type Counts = Readonly<Record<string, number>>;

const wishes = ['register', 'stop', 'start'];

export const registrations: Command = {
  does: 'registrations of accounts at PBXs and of phones here; register, stop or start one',
  run: async (words) => {
    const asked = readWords(words, options, usage);
    if ('leave' in asked) return asked.leave;
    const { values, positionals } = asked.read;
    const [verb = 'list', aor, ...more] = positionals;
    const edge = runningEdge(values.config);
    const wrongWords = (): number => {
      process.stderr.write(usage);
      return 2;
    };
    if (more.length > 0) return wrongWords();
    if (wishes.includes(verb)) {
      if (aor === undefined && !(verb === 'register' && values.all === true)) return wrongWords();
      const answer = await edge.ask(
        aor === undefined
          ? { method: 'POST', path: '/registrations', body: { all: true } }
          : { method: 'POST', path: `/registrations/${encodeURIComponent(aor)}/${verb}` },
      );
      return tell(answer, values.json === true, (body) =>
        aor === undefined ? `${String(body['registering'])} accounts\n` : `${aor} ${String(body['state'])}\n`,
      );
    }
    if (verb === 'show') {
      if (aor === undefined) return wrongWords();
      const answer = await edge.ask({ path: `/registrations/${encodeURIComponent(aor)}` });
      return tell(answer, values.json === true, (body) => tables(body as unknown as Page));
    }
    if (verb !== 'list' || aor !== undefined || (values.inbound === true && values.outbound === true))
      return wrongWords();
    const limit = values.all === true ? Number.POSITIVE_INFINITY : Number(values.limit ?? 100);
    if (!(limit >= 1)) return wrongWords();
    const query = new URLSearchParams();
    if (values.outbound === true) query.set('direction', 'outbound');
    if (values.inbound === true) query.set('direction', 'inbound');
    if (values.state !== undefined) query.set('state', values.state);
    if (values.domain !== undefined) query.set('domain', values.domain);
    return list(edge, query, limit, values.json === true);
  },
};

/** Page by page, each shown before the next is asked for: a million rows are too many to keep. A page may be empty and have a next one. */
async function list(edge: RunningEdge, query: URLSearchParams, limit: number, json: boolean): Promise<number> {
  const show = json ? rowsAsJson() : rowsAsTables();
  let shown = 0;
  let totals: Page['totals'];
  let next: string | null = '';
  while (next !== null && shown < limit) {
    query.set('limit', String(Math.min(1000, limit - shown)));
    if (next !== '') query.set('cursor', next);
    const answer = await pageOf(edge, query);
    if (answer.status !== 200) {
      // what has been shown ends with its line
      if (shown > 0) process.stdout.write('\n');
      return tell(answer, json, () => '');
    }
    const page = answer.body as Page;
    await written(show.page(page));
    shown += page.outbound.length + page.inbound.length;
    totals = page.totals;
    next = page.next ?? null;
  }
  await written(show.end({ totals, next }));
  return 0;
}

/** ms from one attempt to the next: a list of a million rows is not to break off because the store was away for a moment */
const againAfterMs = [250, 500, 1000];

async function pageOf(edge: RunningEdge, query: URLSearchParams): Promise<Answered> {
  const path = `/registrations?${query.toString()}`;
  for (const wait of againAfterMs) {
    const answer = await edge.ask({ path });
    if (answer.status !== 503) return answer;
    await pause(wait);
  }
  return edge.ask({ path });
}

/** Whoever reads us may be slow. */
async function written(text: string): Promise<void> {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
}

interface Show {
  page(page: Page): string;
  end(last: Pick<Page, 'totals' | 'next'>): string;
}

/** One object: the outbound rows come first in every list, so each array is written where it stands. */
function rowsAsJson(): Show {
  let inbound = false;
  let first = true;
  let begun = false;
  const rows = (all: readonly Row[]): string => {
    let text = '';
    for (const row of all) {
      text += `${first ? '' : ','}${JSON.stringify(row)}`;
      first = false;
    }
    return text;
  };
  const begin = (): string => {
    const text = begun ? '' : '{"outbound":[';
    begun = true;
    return text;
  };
  const turn = (): string => {
    if (inbound) return '';
    inbound = true;
    first = true;
    return '],"inbound":[';
  };
  return {
    page: (page) => begin() + rows(page.outbound) + (page.inbound.length === 0 ? '' : turn() + rows(page.inbound)),
    end: (last) => `${begin()}${turn()}]${JSON.stringify(last).replace(/^\{/, ',')}\n`,
  };
}

/** Columns grow with what comes, and never shrink; a head stands where a table begins. */
function rowsAsTables(): Show {
  let out: readonly number[] | undefined;
  let inn: readonly number[] | undefined;
  let parts = 0;
  const part = (text: string): string => (parts++ === 0 ? text : `\n${text}`);
  return {
    page: ({ outbound, inbound }) => {
      let text = '';
      if (outbound.length > 0) {
        const drawn = table(outboundHead, outbound.map(outboundCells), out);
        text += out === undefined ? part(drawn.text) : drawn.text;
        out = drawn.widths;
      }
      if (inbound.length > 0) {
        const drawn = table(inboundHead, inbound.map(inboundCells), inn);
        text += inn === undefined ? part(drawn.text) : drawn.text;
        inn = drawn.widths;
      }
      return text;
    },
    end: ({ totals, next }) =>
      `${totals === undefined ? '' : part(totalsText(totals))}${parts === 0 ? 'None.\n' : ''}` +
      (next === null ? '' : 'There are more: --limit N or --all.\n'),
  };
}

function tell({ status, body }: Answered, json: boolean, text: (body: Row) => string): number {
  if (status >= 300) {
    process.stderr.write(`${complaint({ status, body })}\n`);
    return 1;
  }
  process.stdout.write(json ? `${JSON.stringify(body)}\n` : text(body as Row));
  return 0;
}

function tables(page: Page): string {
  const show = rowsAsTables();
  return show.page(page) + show.end({ totals: page.totals, next: null });
}

const outboundHead = ['AOR', 'Auth user', 'Host', 'Expires', 'State', 'Last', 'Next', 'Last failure'];
const outboundCells = (row: Row): readonly unknown[] => [
  ...[row['aor'], row['authUser'], row['host'], row['expires'], row['state']],
  ...[shortTime(row['lastRegistration']), shortTime(row['nextRegistration']), failureOf(row['lastFailure'])],
];
const inboundHead = ['AOR', 'Device', 'Push', 'State', 'Expires', 'Over', 'Last'];
const inboundCells = (row: Row): readonly unknown[] => [
  ...[row['aor'], row['device'], row['push'], row['state'], row['expires'], row['transport']],
  shortTime(row['lastRegistration']),
];

function totalsText({ outbound, inbound }: NonNullable<Page['totals']>): string {
  return `Outbound: ${counted(outbound)}\nInbound:  ${counted(inbound)}\n`;
}

function counted(counts: Counts | null): string {
  if (counts === null) return 'not counted yet';
  const sum = Object.values(counts).reduce((total, each) => total + each, 0);
  const parts = Object.entries(counts).filter(([, value]) => value > 0);
  return `${sum}${parts.length === 0 ? '' : ` (${parts.map(([name, value]) => `${value} ${name}`).join(', ')})`}`;
}

function failureOf(failure: unknown): string {
  if (typeof failure !== 'object' || failure === null) return '';
  const { status, reason } = failure as { readonly status?: unknown; readonly reason?: unknown };
  return status === 0 ? String(reason) : `${String(status)} ${String(reason)}`;
}

/** Without the fractions of a second. */
function shortTime(time: unknown): string {
  return typeof time === 'string' ? time.replace(/\.\d+Z$/, 'Z') : '';
}

/** `before`: widths of a table that goes on; then without its head. */
function table(
  head: readonly string[],
  rows: readonly (readonly unknown[])[],
  before?: readonly number[],
): { readonly text: string; readonly widths: readonly number[] } {
  const cells = rows.map((row) => row.map((cell) => printable(cellOf(cell))));
  const lines = before === undefined ? [head, ...cells] : cells;
  const widths = head.map((_, at) =>
    lines.reduce((most, line) => Math.max(most, line[at]?.length ?? 0), before?.[at] ?? 0),
  );
  const text = lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
  return { text, widths };
}

/** A PBX may write what it likes into its reasons. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what must not reach a terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}
