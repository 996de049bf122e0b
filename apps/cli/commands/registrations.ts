/** `reveille registrations`: what is registered at PBXs and what phones are registered here, in the manner of `pjsip show registrations`. */
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

/** Page by page; a page may be empty and have a next one. */
async function list(edge: RunningEdge, query: URLSearchParams, limit: number, json: boolean): Promise<number> {
  const all: { outbound: Row[]; inbound: Row[]; totals: Page['totals']; next: string | null } = {
    outbound: [],
    inbound: [],
    totals: undefined,
    next: '',
  };
  while (all.next !== null && all.outbound.length + all.inbound.length < limit) {
    query.set('limit', String(Math.min(1000, limit - all.outbound.length - all.inbound.length)));
    if (all.next !== '') query.set('cursor', all.next);
    const answer = await edge.ask({ path: `/registrations?${query.toString()}` });
    if (answer.status !== 200) return tell(answer, json, () => '');
    const page = answer.body as Page;
    all.outbound.push(...page.outbound);
    all.inbound.push(...page.inbound);
    all.totals = page.totals;
    all.next = page.next ?? null;
  }
  if (json) process.stdout.write(`${JSON.stringify(all)}\n`);
  else process.stdout.write(`${tables(all)}${all.next === null ? '' : 'There are more: --limit N or --all.\n'}`);
  return 0;
}

function tell({ status, body }: Answered, json: boolean, text: (body: Row) => string): number {
  if (status >= 300) {
    process.stderr.write(`${complaint({ status, body })}\n`);
    return 1;
  }
  process.stdout.write(json ? `${JSON.stringify(body)}\n` : text(body as Row));
  return 0;
}

function tables({ outbound, inbound, totals }: Page): string {
  const parts: string[] = [];
  if (outbound.length > 0)
    parts.push(
      table(
        ['AOR', 'Auth user', 'Host', 'Expires', 'State', 'Last', 'Next', 'Last failure'],
        outbound.map((row) => [
          ...[row['aor'], row['authUser'], row['host'], row['expires'], row['state']],
          ...[shortTime(row['lastRegistration']), shortTime(row['nextRegistration']), failureOf(row['lastFailure'])],
        ]),
      ),
    );
  if (inbound.length > 0)
    parts.push(
      table(
        ['AOR', 'Device', 'Push', 'State', 'Expires', 'Over', 'Last'],
        inbound.map((row) => [
          ...[row['aor'], row['device'], row['push'], row['state'], row['expires'], row['transport']],
          shortTime(row['lastRegistration']),
        ]),
      ),
    );
  if (totals !== undefined) parts.push(`Outbound: ${counted(totals.outbound)}\nInbound:  ${counted(totals.inbound)}\n`);
  return parts.length === 0 ? 'None.\n' : parts.join('\n');
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

function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const lines = [head, ...rows.map((row) => row.map((cell) => printable(cellOf(cell))))];
  const widths = head.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** A PBX may write what it likes into its reasons. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what must not reach a terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}
