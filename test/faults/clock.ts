import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A clock that one process sees and the test sets. */
export interface FalseClock {
  env: Record<string, string>;
  /** In whole seconds. */
  set(offsetMs: number): void;
  remove(): void;
}

/** Undefined, with the reason, where it cannot be had: it needs a C compiler and LD_PRELOAD. */
export function makeClock(): FalseClock | { missing: string } {
  if (process.platform !== 'linux') return { missing: 'the clock can be stepped on Linux only (LD_PRELOAD)' };
  const dir = mkdtempSync(join(tmpdir(), 'edgewire-clock-'));
  const source = new URL('./clock.c', import.meta.url).pathname;
  const library = join(dir, 'clock.so');
  const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl'], { encoding: 'utf8' });
  const remove = () => rmSync(dir, { recursive: true, force: true });
  if (built.status !== 0) {
    remove();
    return { missing: `no clock to step: cc ${built.error ? 'is missing' : `said ${built.stderr.split('\n')[0]}`}` };
  }
  const file = join(dir, 'offset');
  writeFileSync(file, ' '.repeat(32));
  const set = (offsetMs: number) => {
    const open = openSync(file, 'r+'); // in place: a file that shrank under a mapping kills who reads it
    writeSync(open, String(offsetMs).padEnd(32, ' '));
    closeSync(open);
  };
  return { env: { LD_PRELOAD: library, FAULT_CLOCK: file }, set, remove };
}
