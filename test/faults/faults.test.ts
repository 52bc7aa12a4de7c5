import { expect, test } from 'vitest';
import { failuresOf, runRow } from './row.ts';
import { rows } from './rows.ts';

/** The short cut of `npm run faults`, which has all rows, any seed and soaks. A failure is looked at again with `--only`. */
const SEED = 1;

test.each(rows.filter(({ quick }) => quick).map((row) => [row.name, row] as const))(
  'nothing is lost silently, doubled or turned round: %s',
  async (_name, row) => {
    const result = await runRow(row, SEED);
    if ('missing' in result) throw new Error(result.missing);
    expect(result.faults, JSON.stringify(result)).toEqual([]);
    const control = await runRow(row, SEED, row.control);
    expect('missing' in control ? 0 : failuresOf(control), JSON.stringify(control)).toBeGreaterThan(0);
  },
  120_000,
);
