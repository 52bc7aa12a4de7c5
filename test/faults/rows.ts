import type { Row } from './row.ts';
import { endFaults } from './rows-ends.ts';
import { redisFaults } from './rows-redis.ts';
import { wayFaults } from './rows-way.ts';

export const rows: readonly Row[] = [...redisFaults, ...wayFaults, ...endFaults];
