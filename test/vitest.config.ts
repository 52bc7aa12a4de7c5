import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // Real Redis, workerd and Chromium start within this; nothing here waits by the clock.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Every file starts its own Redis and more; two at a time keep two cores busy.
    maxWorkers: 2,
    coverage: { provider: 'v8', include: ['edge/**', 'relay/**', 'shared/**'] },
  },
});
