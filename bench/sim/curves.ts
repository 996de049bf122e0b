/** The curves of a simulated day as one SVG: a panel for each, 24 hours from left to right. */
import type { Curves, Simulated } from './model.ts';
import { peakOf, type Plan } from './plan.ts';

interface Panel {
  readonly title: string;
  readonly of: keyof Curves;
  readonly scale?: number;
  readonly unit: string;
  readonly digits: number;
  readonly limit?: number;
}

const width = 960;
const left = 56;
const right = 24;
const plotHeight = 84;
const panelHeight = 132;
const head = 56;
const minutes = 1440;

export function drawDay({ curves, day }: Simulated, plan: Plan, edgeShare: number): string {
  const panels: readonly Panel[] = [
    { title: 'REGISTERs a second', of: 'registers', unit: '', digits: 0 },
    { title: 'Calls a second', of: 'calls', unit: '', digits: 0 },
    { title: 'Held INVITEs, waiting for a phone', of: 'held', unit: '', digits: 0 },
    { title: 'Pushes a second to APNs', of: 'apns', unit: '', digits: 0 },
    { title: 'Pushes a second to FCM', of: 'fcm', unit: '', digits: 0 },
    { title: 'CPU of an edge, of one core', of: 'edgeCpu', scale: 100, unit: ' %', digits: 0, limit: edgeShare * 100 },
    { title: 'Commands a second to Redis', of: 'redisCommands', unit: '', digits: 0 },
    {
      title: 'CPU of Redis, were it one, of its one core',
      of: 'redisCpu',
      scale: 100,
      unit: ' %',
      digits: 0,
      limit: 100,
    },
    { title: 'Refused with 503 a second', of: 'refused', unit: '', digits: 0 },
    { title: 'Network, all edges, without media', of: 'bits', scale: 1e-6, unit: ' Mbit/s', digits: 0 },
  ];
  const height = head + panels.length * panelHeight + 16;
  const drawn = panels.map((panel, at) => drawPanel(panel, curves[panel.of], head + at * panelHeight));
  const about = `${count(day.phones)} phones, ${count(day.nodes)} edges, seed ${day.seed}; modelled from the costs in bench/sim/costs.json; runs out first: ${plan.first.what}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600" fill="#1b1f24">Reveille, a day modelled</text>
<text x="16" y="42" fill="#57606a" font-size="12">${about}</text>
${drawn.join('')}</svg>
`;
}

function drawPanel({ title, scale = 1, unit, digits, limit }: Panel, series: Float64Array, top: number): string {
  const peak = peakOf(series);
  const most = Math.max(peak.value * scale, 1e-9);
  const room = limit !== undefined && limit < most * 2.5 ? Math.max(most, limit) : most;
  const bottom = top + 30 + plotHeight;
  const x = (minute: number): string => (left + (minute / minutes) * (width - left - right)).toFixed(1);
  const y = (value: number): string => (bottom - (value / room) * plotHeight).toFixed(1);
  // what stands out for a second shall be seen: the most of each minute
  const points = Array.from({ length: minutes }, (_, minute) => {
    let highest = 0;
    for (let second = minute * 60; second < (minute + 1) * 60; second++)
      highest = Math.max(highest, series[second] ?? 0);
    return `${x(minute)},${y(highest * scale)}`;
  });
  const hours = [0, 3, 6, 9, 12, 15, 18, 21, 24].map(
    (hour) =>
      `<line x1="${x(hour * 60)}" x2="${x(hour * 60)}" y1="${top + 30}" y2="${bottom}" stroke="#eaeef2"/>` +
      `<text x="${x(hour * 60)}" y="${bottom + 13}" text-anchor="middle" font-size="11" fill="#57606a">${hour}</text>`,
  );
  const mark =
    limit === undefined || limit > room
      ? ''
      : `<line x1="${left}" x2="${width - right}" y1="${y(limit)}" y2="${y(limit)}" stroke="#c2410c" stroke-dasharray="4 3"/>`;
  const text = `peak ${(peak.value * scale).toLocaleString('en', { maximumFractionDigits: digits })}${unit} at ${clock(peak.at)}`;
  return `<text x="16" y="${top + 18}" font-weight="600" fill="#1b1f24">${title}</text>
<text x="${width - right}" y="${top + 18}" text-anchor="end" fill="#57606a" font-size="12">${text}</text>
${hours.join('')}${mark}
<polyline fill="none" stroke="#2f6fdf" stroke-width="1.5" points="${points.join(' ')}"/>
`;
}

export function clock(second: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${two(second / 3600)}:${two((second % 3600) / 60)}:${two(second % 60)}`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
