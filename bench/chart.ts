/** The figures as one SVG: bars, one panel for each measurement. */
import type { Report, Row } from './report.ts';

interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
  /** our own edge stands out */
  readonly ours: boolean;
}

interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
  /** a line to stay below or to reach */
  readonly limit?: { readonly value: number; readonly text: string };
}

const width = 960;
const labelWidth = 300;
const barHeight = 20;
const gap = 6;
const panelHead = 46;

export function drawCharts(report: Report): string {
  const panels = panelsOf(report.rows).filter(({ bars }) => bars.length > 0);
  let y = 56;
  const drawn = panels.map((panel) => {
    const part = drawPanel(panel, y);
    y += panelHead + panel.bars.length * (barHeight + gap) + 26;
    return part;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="system-ui, sans-serif" font-size="13">
<rect width="${width}" height="${y}" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600" fill="#1b1f24">Reveille, measured</text>
<text x="16" y="42" fill="#57606a" font-size="12">${escape(`${report.machine}; ${report.pinning}; ${report.started.slice(0, 10)}`)}</text>
${drawn.join('')}</svg>
`;
}

function panelsOf(rows: readonly Row[]): Panel[] {
  const bars = (group: string, value: (row: Row) => number | undefined, unit: string, digits: number): Bar[] =>
    rows.flatMap((row) => {
      const found = row.group === group ? value(row) : undefined;
      if (found === undefined || Number.isNaN(found)) return [];
      return [
        {
          label: row.name,
          value: found,
          text: `${found.toLocaleString('en', { maximumFractionDigits: digits })}${unit}`,
          ours: row.name.startsWith('edge'),
        },
      ];
    });
  const register = (pick: 'rate' | 'cpuMicros') => (row: Row) =>
    row.result?.is === 'register' ? row.result[pick] : undefined;
  const latency = (which: 'inviteToPushMs' | 'registerToInviteMs'): Bar[] =>
    (['p50', 'p99'] as const).flatMap((percentile) =>
      bars('wake', (row) => (row.result?.is === 'wake' ? row.result[which]?.[percentile] : undefined), ' ms', 2).map(
        (bar) => ({
          ...bar,
          label: `${bar.label}, ${percentile}`,
        }),
      ),
    );
  return [
    {
      title: 'REGISTER a second, servers on one core',
      bars: bars('register', register('rate'), '', 0),
      limit: { value: 4500, text: 'at least 4,500' },
    },
    { title: 'CPU for one REGISTER, all server processes', bars: bars('register', register('cpuMicros'), ' us', 0) },
    {
      title: 'CPU for one woken call, all server processes',
      bars: bars('wake', (row) => (row.result?.is === 'wake' ? row.result.cpuMs : undefined), ' ms', 2),
      limit: { value: 1.5, text: 'at most 1.5 ms' },
    },
    { title: 'INVITE from the PBX to push request', bars: latency('inviteToPushMs') },
    { title: 'REGISTER of the woken phone to its INVITE', bars: latency('registerToInviteMs') },
    {
      title: 'Memory of one held call, all server processes',
      bars: bars(
        'holds',
        (row) => (row.result?.is === 'hold' ? row.result.rounds[0]?.kibPerHeld : undefined),
        ' KiB',
        1,
      ),
      limit: { value: 40, text: 'at most 40 KiB' },
    },
  ];
}

function drawPanel({ title, bars, limit }: Panel, top: number): string {
  const longest = Math.max(...bars.map(({ value }) => value), limit?.value ?? 0);
  const room = width - labelWidth - 110;
  const scale = (value: number): number => Math.max(1, (value / (longest || 1)) * room);
  const bottom = top + panelHead + bars.length * (barHeight + gap);
  const lines = bars.map((bar, at) => {
    const y = top + panelHead + at * (barHeight + gap);
    return `<text x="${labelWidth - 10}" y="${y + 15}" text-anchor="end" fill="#1b1f24">${escape(bar.label)}</text>
<rect x="${labelWidth}" y="${y}" width="${scale(bar.value).toFixed(1)}" height="${barHeight}" rx="3" fill="${bar.ours ? '#2f6fdf' : '#9aa4b0'}"/>
<text x="${(labelWidth + scale(bar.value) + 8).toFixed(1)}" y="${y + 15}" fill="#1b1f24">${escape(bar.text)}</text>
`;
  });
  const mark =
    limit === undefined
      ? ''
      : `<line x1="${(labelWidth + scale(limit.value)).toFixed(1)}" x2="${(labelWidth + scale(limit.value)).toFixed(1)}" y1="${top + panelHead - 6}" y2="${bottom}" stroke="#c2410c" stroke-dasharray="4 3"/>
<text x="${(labelWidth + scale(limit.value)).toFixed(1)}" y="${bottom + 13}" text-anchor="middle" font-size="11" fill="#c2410c">${escape(limit.text)}</text>
`;
  return `<text x="16" y="${top + 26}" font-size="14" font-weight="600" fill="#1b1f24">${escape(title)}</text>\n${lines.join('')}${mark}`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
