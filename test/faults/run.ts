import { parseArgs } from 'node:util';
import { failuresOf, type Result, type Row, runRow } from './row.ts';
import { rows } from './rows.ts';
import { soak } from './soak.ts';
import { heading, rowOf } from './table.ts';

/**
 * `npm run faults -- [--seed N] [--only text] [--quick] [--minutes N]`: the real programs under every fault, judged by one
 * oracle; each row again without its protection, which must fail. Exit code 1 when a row does not hold or a control does.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    only: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '' },
  },
});
const seed = Number(values.seed);
const BROKE = 'it broke';
console.log(`seed ${seed}`);
const failed = values.minutes ? await soak(seed, Number(values.minutes)) : await table();
for (const why of failed) console.log(`DOES NOT HOLD: ${why}`);
console.log(failed.length === 0 ? 'all hold' : `${failed.length} do not hold (seed ${seed})`);
process.exit(failed.length === 0 ? 0 : 1);

async function table(): Promise<string[]> {
  const chosen = rows.filter((row) => row.name.includes(values.only) && (row.quick || !values.quick));
  const lines: string[] = [];
  const why: string[] = [];
  console.log(heading());
  for (const row of chosen) {
    const tried = await attempt(row, {});
    if ('missing' in tried) {
      console.log(`not run: ${row.name}: ${tried.missing}`);
      if (tried.missing.startsWith(BROKE)) why.push(`${row.name}: ${tried.missing}`);
      continue;
    }
    show(lines, rowOf(row.name, tried), tried);
    if (tried.faults.length > 0 && tried.example) console.log(`  e.g. ${tried.example}`);
    why.push(...tried.faults.map((fault) => `${row.name}: ${fault}`));
    const control = await attempt(row, row.control);
    if ('missing' in control) {
      why.push(`${row.name}, control: ${control.missing}`);
      continue;
    }
    const name = `- control: ${Object.values(row.control)[0]}`;
    show(lines, rowOf(name, control), control);
    if (failuresOf(control) === 0) why.push(`${row.name}: its control does not fail`);
  }
  return why;
}

/** A row that cannot be run to its end has failed: what it threw is its fault. */
async function attempt(row: Row, wrong: Row['control']): Promise<Result | { missing: string }> {
  try {
    return await runRow(row, seed, wrong);
  } catch (error) {
    return { missing: `${BROKE}: ${error instanceof Error ? error.stack : String(error)}` };
  }
}

function show(lines: string[], line: string, { note }: Result): void {
  lines.push(line);
  console.log(note ? `${line} ${note}` : line);
}
