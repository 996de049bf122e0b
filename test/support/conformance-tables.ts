/** The tables of docs/engine-conformance.md, made from what the replay and the torture test run. */
import { fixtures } from '../rfc/drachtio-fixtures.ts';
import { code, table } from './page-tables.ts';
import { outcomeOver, torture } from './torture-table.ts';

function outcome(each: Parameters<typeof outcomeOver>[0], transport: string): string {
  const { answers, forwarded, closes } = outcomeOver(each, transport);
  const parts = [
    ...(forwarded === undefined ? [] : ['forwarded']),
    ...answers.map(String),
    ...(closes === true ? ['closed'] : []),
  ];
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

export const conformanceParts: Readonly<Record<string, () => string>> = {
  count: () => {
    const all = Object.values(fixtures);
    const replayed = all.filter((each) => each.is === 'replayed');
    const same = replayed.filter((each) => (each.deliberate ?? []).length === 0).length;
    return `${all.length} recordings: ${same} replayed without any difference, ${replayed.length - same} with differences that are meant, ${all.length - replayed.length} not played.`;
  },
  differing: () =>
    table(
      ['recording', 'what the engine does differently'],
      Object.entries(fixtures).flatMap(([name, each]) =>
        each.is === 'replayed' ? (each.deliberate ?? []).map(({ why }) => [code(name), why]) : [],
      ),
    ),
  unplayed: () => {
    const byReason = new Map<string, string[]>();
    for (const [name, each] of Object.entries(fixtures))
      if (each.is !== 'replayed') byReason.set(each.why, [...(byReason.get(each.why) ?? []), code(name)]);
    return table(
      ['why not', 'recordings'],
      [...byReason].map(([why, names]) => [why, names.join(', ')]),
    );
  },
  same: () =>
    Object.entries(fixtures)
      .flatMap(([name, each]) => (each.is === 'replayed' && (each.deliberate ?? []).length === 0 ? [code(name)] : []))
      .join(', '),
  torture: () =>
    table(
      ['message', 'RFC', 'over UDP', 'over TCP', 'over WebSocket', 'remark'],
      torture.map((each) => [
        code(each.name),
        `${each.suite === 'rfc4475' ? '4475' : '5118'} ${each.section}`,
        outcome(each, 'udp'),
        outcome(each, 'tcp'),
        outcome(each, 'ws'),
        each.remark,
      ]),
    ),
};
