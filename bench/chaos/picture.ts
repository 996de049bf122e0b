/** A run as one SVG: how calls that began in each second ended, and beneath it the faults as bars. Pure. */
import { type Fault, nameOf } from './fault.ts';
import type { Call } from './ledger.ts';
import type { Verdict } from './verdict.ts';

const width = 1200;
const left = 150;
const right = 16;
const top = 64;
const plotHeight = 220;
const laneHeight = 14;
const groups = [
  { name: 'answered at the first node', color: '#2f6fdf' },
  { name: 'answered at another node', color: '#7fb2ff' },
  { name: 'lost, explained by a fault', color: '#f0a330' },
  { name: 'wrong', color: '#c2261c' },
] as const;

interface Judged {
  readonly call: Call;
  readonly verdict: Verdict;
}

export function drawRun(
  judged: readonly Judged[],
  faults: readonly Fault[],
  { seed, rate, nodes }: { readonly seed: number; readonly rate: number; readonly nodes: number },
): string {
  const lastMs = Math.max(
    1000,
    ...judged.map(({ call }) => call.at),
    ...faults.map(({ to }) => to).filter(Number.isFinite),
  );
  const stepMs = Math.max(1000, Math.ceil(lastMs / 1000 / 600) * 1000);
  const steps = Array.from({ length: Math.ceil(lastMs / stepMs) + 1 }, () => groups.map(() => 0));
  for (const one of judged) {
    const step = steps[Math.floor(one.call.at / stepMs)];
    if (step !== undefined) step[groupOf(one)] = (step[groupOf(one)] ?? 0) + 1;
  }
  const most = Math.max(1, ...steps.map((counts) => counts.reduce((sum, count) => sum + count, 0)));
  const x = (ms: number): number => left + (ms / (steps.length * stepMs)) * (width - left - right);
  const y = (count: number): number => top + plotHeight - (count / most) * plotHeight;
  const columns = steps.flatMap((counts, at) => {
    let below = 0;
    return counts.map((count, group) => {
      const from = below;
      below += count;
      if (count === 0) return '';
      const columnWidth = Math.max(0.8, x(stepMs) - x(0) - 0.3);
      return `<rect x="${x(at * stepMs).toFixed(1)}" y="${y(below).toFixed(1)}" width="${columnWidth.toFixed(2)}" height="${(y(from) - y(below)).toFixed(1)}" fill="${groups[group]?.color}"/>`;
    });
  });
  const lanes = [...new Set(faults.map(laneOf))].sort();
  const lanesTop = top + plotHeight + 34;
  const bars = faults.map((fault) => {
    const from = x(fault.since);
    const to = x(Math.min(fault.to, lastMs));
    return `<rect x="${from.toFixed(1)}" y="${lanesTop + lanes.indexOf(laneOf(fault)) * laneHeight + 2}" width="${Math.max(2, to - from).toFixed(1)}" height="${laneHeight - 4}" fill="${colorOf(fault)}"><title>${nameOf(fault)}, ${(fault.since / 1000).toFixed(1)} s to ${(fault.to / 1000).toFixed(1)} s</title></rect>`;
  });
  const names = lanes.map(
    (lane, at) =>
      `<text x="${left - 8}" y="${lanesTop + at * laneHeight + 11}" text-anchor="end" font-size="10" fill="#1b1f24">${lane}</text>`,
  );
  const height = lanesTop + lanes.length * laneHeight + 16;
  const ticks = ticksTo(lastMs).map(
    (ms) =>
      `<line x1="${x(ms).toFixed(1)}" x2="${x(ms).toFixed(1)}" y1="${top}" y2="${height - 12}" stroke="#d6dae0" stroke-width="0.5"/><text x="${x(ms).toFixed(1)}" y="${top + plotHeight + 16}" text-anchor="middle" font-size="10" fill="#57606a">${clock(ms)}</text>`,
  );
  const legend = groups.map(
    ({ name, color }, at) =>
      `<rect x="${left + at * 230}" y="34" width="11" height="11" fill="${color}"/><text x="${left + at * 230 + 16}" y="44" font-size="11" fill="#1b1f24">${name}</text>`,
  );
  const scale = [0, most].map(
    (count) =>
      `<text x="${left - 8}" y="${(y(count) + 4).toFixed(1)}" text-anchor="end" font-size="10" fill="#57606a">${Math.round(count / (stepMs / 1000))}/s</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif">
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="16" y="22" font-size="14" font-weight="600" fill="#1b1f24">Calls by their end, ${rate} a second through ${nodes} nodes, seed ${seed}; faults beneath</text>
${[...legend, ...ticks, ...columns, ...scale, ...names, ...bars].filter((part) => part !== '').join('\n')}
</svg>
`;
}

function groupOf({ call, verdict }: Judged): number {
  if (verdict.wrong.length > 0) return 3;
  if (verdict.end !== 'answered') return 2;
  return call.attempts.length > 1 ? 1 : 0;
}

function laneOf({ kind, node, push }: Fault): string {
  if (kind.startsWith('redis')) return 'redis';
  if (kind === 'partition') return `node ${node} cut off`;
  return node === undefined ? `push ${push}` : `node ${node}`;
}

function colorOf({ kind }: Fault): string {
  if (kind.endsWith('kill')) return '#1b1f24';
  if (kind.endsWith('freeze')) return '#4aa3a2';
  if (kind === 'partition') return '#8250df';
  return kind.endsWith('drain') || kind.endsWith('restart') ? '#8c959f' : '#b3541e';
}

function ticksTo(lastMs: number): readonly number[] {
  const step = [10_000, 30_000, 60_000, 120_000, 300_000].find((ms) => lastMs / ms <= 16) ?? 600_000;
  return Array.from({ length: Math.floor(lastMs / step) + 1 }, (_, n) => n * step);
}

function clock(ms: number): string {
  return `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, '0')}`;
}
