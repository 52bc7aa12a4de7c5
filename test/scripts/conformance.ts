import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import { batching } from './batching.ts';
import type { Bench } from './bench.ts';
import { epochs } from './epochs.ts';
import { idempotency } from './idempotency.ts';
import { limiting } from './limiting.ts';
import { publishing } from './publishing.ts';
import { reading } from './reading.ts';
import { refusals } from './refusals.ts';
import { replaying } from './replaying.ts';

/**
 * What every script promises, asked of any adapter that can run them. Each test begins with an empty Redis, so the one
 * that `open` gives must be its own; it must allow DEBUG, by which whole states are compared.
 */
export function conformance(name: string, open: () => Promise<Bench>): void {
  describe(name, () => {
    const bench = {} as Bench;
    beforeAll(async () => {
      Object.assign(bench, await open());
    });
    beforeEach(async () => {
      await bench.direct.call('FLUSHALL', []);
    });
    afterEach(async () => {
      await bench.direct.call('CONFIG', ['SET', 'maxmemory', '0']);
    });
    afterAll(() => bench.close());

    describe('publish', () => publishing(bench));
    describe('an idempotency key', () => idempotency(bench));
    describe('a refusal by Redis', () => refusals(bench));
    describe('the epoch', () => epochs(bench));
    describe('batch', () => batching(bench));
    describe('replay', () => replaying(bench));
    describe('history', () => reading(bench));
    describe('a rate and a revocation', () => limiting(bench));
  });
}
