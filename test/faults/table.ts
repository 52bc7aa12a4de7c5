import type { Result } from './row.ts';

const COLUMNS: [title: string, value: (result: Result) => string | number][] = [
  ['times', (r) => r.times],
  ['messages', (r) => r.due],
  ['acked', (r) => r.acknowledged],
  ['delivered', (r) => r.delivered],
  ['declared', (r) => r.declared],
  ['repairs', (r) => r.repairs],
  ['silent', (r) => r.silent],
  ['doubled', (r) => r.doubled],
  ['on the wire', (r) => r.wire],
  ['turned', (r) => r.turned],
  ['refused+seen', (r) => r.phantoms],
  ['recovery s', (r) => (r.recoveryMs / 1000).toFixed(1)],
  ['relay MiB', (r) => r.rssMb],
];

const NAME_CHARS = 52;

export function heading(): string {
  return (
    line(
      'fault',
      COLUMNS.map(([title]) => title),
    ) +
    '\n' +
    line(
      '---',
      COLUMNS.map(() => '---:'),
    )
  ); // Markdown
}

export function rowOf(name: string, result: Result): string {
  return line(
    name,
    COLUMNS.map(([, value]) => String(value(result))),
  );
}

function line(name: string, cells: readonly string[]): string {
  const padded = cells.map((cell, i) => cell.padStart(COLUMNS[i]![0].length));
  return `| ${name.padEnd(NAME_CHARS)} | ${padded.join(' | ')} |`;
}
