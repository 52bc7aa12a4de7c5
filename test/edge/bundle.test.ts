import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;

const bundleBytesMax = 60_000;

test('the edge is at most 60 KB gzipped, so that an isolate starts in a moment', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-bundle-'));
  const wrangler = join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js');
  const quiet = { WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true', WRANGLER_WRITE_LOGS: 'false', CI: '1' };
  try {
    await promisify(execFile)(
      process.execPath,
      [wrangler, 'deploy', '--config', 'wrangler.toml', '--dry-run', '--minify', '--outdir', dir],
      { cwd: root, env: { ...process.env, ...quiet } },
    );
    const modules = (await readdir(dir)).filter((name) => !/\.(md|map)$/.test(name));
    expect(modules).toContain('index.js');
    let bytes = 0;
    for (const name of modules) bytes += gzipSync(await readFile(join(dir, name))).length;
    expect(bytes).toBeGreaterThan(10_000); // it was really built
    expect(bytes).toBeLessThanOrEqual(bundleBytesMax);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
