/** The ladder as a picture: the same rungs, drawn as SVG with nothing but lines and text, light or dark as the reader's page is. */
import { type Chapter, columns, type Rung } from './rungs.ts';

const left = 120;
const gap = 250;
const rowHeight = 28;
const top = 92;
const width = left + gap * (columns.length - 1) + 120;

const style = `
  .card { fill: #ffffff; stroke: #d8dee4; }
  text { font: 13px ui-sans-serif, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328; }
  .time { font: 11px ui-monospace, "DejaVu Sans Mono", monospace; fill: #818b98; text-anchor: end; }
  .title { font-size: 16px; font-weight: 600; }
  .sub { fill: #59636e; }
  .head { fill: #0b1f3a; } text.head-text { fill: #ffffff; font-weight: 600; text-anchor: middle; }
  .life { stroke: #c8d1da; stroke-width: 1.5; }
  .asleep { fill: #0b1f3a; opacity: .08; }
  .band { fill: #f2f5f8; } .chapter { font-weight: 600; fill: #0b1f3a; }
  .label { text-anchor: middle; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
  .note { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; font-style: italic; fill: #59636e; }
  .rung { stroke-width: 1.7; fill: none; }
  .request { stroke: #0969da; color: #0969da; } .progress { stroke: #8c959f; color: #8c959f; stroke-dasharray: 5 3; }
  .success { stroke: #1a7f37; color: #1a7f37; } .failure { stroke: #bc4c00; color: #bc4c00; }
  .push { stroke: #8250df; color: #8250df; stroke-width: 2.2; } .voice { stroke: #0550ae; color: #0550ae; stroke-width: 4; opacity: .55; }
  .tip { fill: currentColor; stroke: none; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; } .sub, .note { fill: #9198a1; }
    .head { fill: #21396b; } .life { stroke: #3d444d; } .asleep { fill: #9ec1ff; opacity: .12; }
    .band { fill: #161b22; } .chapter { fill: #b9d2ff; } .label, .note { stroke: #0d1117; }
    .request { stroke: #4493f8; color: #4493f8; } .success { stroke: #3fb950; color: #3fb950; }
    .failure { stroke: #f0883e; color: #f0883e; } .push { stroke: #ab7df8; color: #ab7df8; } .voice { stroke: #79c0ff; color: #79c0ff; }
  }`;

export function drawSvg(rungs: readonly Rung[], chapters: readonly Chapter[], summary: string): string {
  const parts: string[] = [];
  const sleeps: { readonly from: number; to: number }[] = [];
  const rest = [...chapters];
  let y = top;
  let asleepSince: number | undefined;
  for (const rung of rungs) {
    while (rest[0] !== undefined && rest[0].atMs <= rung.atMs) {
      parts.push(`<rect class="band" x="16" y="${y + 4}" width="${width - 32}" height="${rowHeight}" rx="5"/>`);
      parts.push(`<text class="chapter" x="30" y="${y + 22}">${escape(rest.shift()?.title ?? '')}</text>`);
      y += rowHeight + 10;
    }
    if (rung.kind === 'note' && rung.what.startsWith('asleep')) asleepSince = y + rowHeight / 2;
    if (rung.kind === 'push' && rung.to === 'phone' && asleepSince !== undefined) {
      sleeps.push({ from: asleepSince, to: y + rowHeight / 2 });
      asleepSince = undefined;
    }
    parts.push(drawRung(rung, y + rowHeight / 2 + 8));
    y += rowHeight;
  }
  if (asleepSince !== undefined) sleeps.push({ from: asleepSince, to: y + 8 });
  const height = y + 30;
  const phone = left + columns.indexOf('phone') * gap;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="SIP ladder of a call that wakes a sleeping phone">`,
    `<style>${style}\n</style>`,
    `<rect class="card" x="1" y="1" width="${width - 2}" height="${height - 2}" rx="12"/>`,
    `<text class="title" x="24" y="30">A call to a sleeping phone rings it</text>`,
    `<text class="sub" x="24" y="50">${escape(summary)}</text>`,
    ...columns.flatMap((name, index) => {
      const x = left + index * gap;
      return [
        `<line class="life" x1="${x}" y1="86" x2="${x}" y2="${height - 18}"/>`,
        `<rect class="head" x="${x - 44}" y="62" width="88" height="26" rx="6"/>`,
        `<text class="head-text" x="${x}" y="80">${name}</text>`,
      ];
    }),
    ...parts,
    ...sleeps.map(
      ({ from, to }) => `<rect class="asleep" x="${phone - 9}" y="${from}" width="18" height="${to - from}" rx="4"/>`,
    ),
    '</svg>',
    '',
  ].join('\n');
}

function drawRung({ atMs, from, to, what, kind }: Rung, y: number): string {
  const time = `<text class="time" x="78" y="${y + 4}">${atMs.toFixed(1)}</text>`;
  const start = left + columns.indexOf(from) * gap;
  const end = left + columns.indexOf(to) * gap;
  if (start === end) return `${time}<text class="note" x="${start + 16}" y="${y + 4}">${escape(what)}</text>`;
  const way = end > start ? 1 : -1;
  const tip = (x: number, towards: number): string =>
    `<path class="tip ${kind}" d="M${x} ${y} l${-towards * 9} -4.5 v9 z"/>`;
  const tips = kind === 'voice' ? tip(end - way * 2, way) + tip(start + way * 2, -way) : tip(end - way * 2, way);
  const middle = Math.abs(end - start) > gap ? end - (way * gap) / 2 : (start + end) / 2;
  return `${time}<line class="rung ${kind}" x1="${start + way * 2}" y1="${y}" x2="${end - way * 8}" y2="${y}"/>${tips}<text class="label" x="${middle}" y="${y - 5}">${escape(what)}</text>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
}
