import { setTimeout as pause } from 'node:timers/promises';
import type { Scene } from './scene.ts';

/** Controls that many rows share. */
export const noReadBack = { relay: 'nothing is read back after an outage' };
export const resumeFromNow = { relay: 'a resume begins now' };

/** Runs `once` so many times with load in between. */
export async function times(count: number, scene: Scene, once: (i: number) => Promise<unknown>): Promise<number> {
  for (let i = 0; i < count; i++) {
    await scene.load.more(40);
    await once(i);
  }
  return count;
}

export function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}

export async function stopFor(scene: Scene, pid: number, ms: number): Promise<void> {
  signal(pid, 'SIGSTOP');
  try {
    await pause(ms);
  } finally {
    signal(pid, 'SIGCONT');
  }
  scene.ended();
}
