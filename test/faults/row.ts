import { setTimeout as pause } from 'node:timers/promises';
import { type Counts, judge, settled } from './oracle.ts';
import { seeded } from './random.ts';
import { Scene, type SceneSettings, type Wrong } from './scene.ts';

/** One kind of fault. */
export interface Row {
  name: string;
  settings?: SceneSettings;
  /** Injects the fault, as often as it answers. Undefined with a reason: it cannot be tried here. */
  run(scene: Scene): Promise<number>;
  /** What must have worked: one of the relay's counters (all labels together), above zero. */
  counter: string;
  /** Without this protection the oracle must count a failure. */
  control: Wrong;
  /** Messages that were to be kept may be lost, if that is declared: the fault took them from history. */
  declares?: boolean;
  /** Streams may end: the relay does, or sends them away. */
  endsStreams?: boolean;
  /** How large a relay may grow. */
  rssMbMax?: number;
  recoveryMsMax?: number;
  /** Runs in the short cut too. */
  quick?: boolean;
  /** Another way to publish than straight to Redis. */
  send?: Parameters<Scene['start']>[0];
  /** Something of its own to set up, and to take away. */
  prepare?(): { settings: SceneSettings; remove(): void } | { missing: string };
}

export interface Result extends Counts {
  times: number;
  repairs: number;
  rssMb: number;
  left: number;
  note: string;
  /** What does not hold. */
  faults: string[];
}

const RECOVERY_MS_MAX = 8_000;
const SETTLE_MS_MAX = 60_000;
/** Node, the relay and what waits for a dozen readers: 110 MiB when idle. */
const RSS_MB_MAX = 300;

/** Runs one row once; with its protection, or with the control in its place. */
export async function runRow(row: Row, seed: number, wrong: Wrong = {}): Promise<Result | { missing: string }> {
  const prepared = row.prepare?.();
  if (prepared && 'missing' in prepared) return prepared;
  const isControl = Object.keys(wrong).length > 0;
  const scene = new Scene({ ...row.settings, ...prepared?.settings }, seeded(seed), wrong);
  let result: Result;
  let left = 0;
  try {
    await scene.start(row.send);
    const times = await row.run(scene);
    await scene.load.more(20);
    for (const reader of scene.readers) reader.hurry();
    await scene.load.stop();
    await settle(scene, isControl ? 3_000 : 8_000);
    for (const relay of scene.relays) await scene.noteMetrics(relay);
    const counts = judge(scene.load, scene.readers, scene.ends, await scene.history());
    const repairs = scene.counted(row.counter);
    const { refused, unknown } = scene.load;
    const note = [scene.note, refused.size && `${refused.size} refused`, unknown && `${unknown} unknown`]
      .filter(Boolean)
      .join(', ');
    result = { ...counts, times, repairs, rssMb: scene.rssMb, left: 0, note, faults: [] };
  } finally {
    left = await scene.stop();
    prepared?.remove();
  }
  result.left = left;
  result.faults = faultsOf(result, row);
  return result;
}

/** Until every reader has its due, or for so long nobody has got anything: how fast it comes depends on the machine. */
async function settle({ load, readers }: Scene, quietMsMax: number): Promise<void> {
  const end = performance.now() + SETTLE_MS_MAX;
  let count = -1;
  let changed = performance.now();
  while (performance.now() < end && performance.now() - changed < quietMsMax) {
    const received = readers.reduce((sum, reader) => sum + reader.received.length, 0);
    if (received !== count) changed = performance.now();
    else if (settled(load, readers)) break; // asked only when nothing comes: it costs a second with 10,000 readers
    count = received;
    await pause(250);
  }
  await pause(200); // what came twice comes now
}

function faultsOf(result: Result, row: Row): string[] {
  const { recoveryMsMax = RECOVERY_MS_MAX, rssMbMax = RSS_MB_MAX } = row;
  const must: [boolean, string][] = [
    [result.silent === 0, `${result.silent} lost silently`],
    [result.doubled === 0, `${result.doubled} doubled`],
    [result.wireUndeclared === 0, `${result.wireUndeclared} doubled on the wire without a reset`],
    [result.turned === 0, `${result.turned} turned round`],
    [result.phantoms === 0, `${result.phantoms} refused and seen`],
    [row.declares || result.declaredKept === 0, `${result.declaredKept} declared lost that are to be kept`],
    [row.declares || result.unkept === 0, `${result.unkept} acknowledged and not kept`],
    [row.endsStreams || result.cuts === 0, `${result.cuts} streams ended`],
    [result.repairs > 0, `no repair counted (${row.counter})`],
    [result.recoveryMs <= recoveryMsMax, `recovery ${Math.round(result.recoveryMs)} ms over ${recoveryMsMax}`],
    [result.rssMb <= rssMbMax, `relay of ${result.rssMb} MiB over ${rssMbMax}`],
    [result.due > 0 && result.times > 0, 'nothing was tried'],
    [result.left === 0, `${result.left} processes left`],
  ];
  return must.filter(([holds]) => !holds).map(([, what]) => what);
}

/** What the oracle counts against a control; 0 means that it did not fail, so the row proves nothing. */
export function failuresOf({ silent, doubled, turned, phantoms }: Result): number {
  return silent + doubled + turned + phantoms;
}
