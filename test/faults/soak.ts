import { setTimeout as pause } from 'node:timers/promises';
import { keys } from './load.ts';
import { judge, settled } from './oracle.ts';
import { seeded } from './random.ts';
import { Scene, until } from './scene.ts';

/** What a fault of the soak does, and which counter says that it was repaired or declared. */
interface Kind {
  name: string;
  counter: string;
  inject(scene: Scene, relay: number): Promise<unknown>;
}

const call = (scene: Scene, name: string, ...args: string[]) => scene.commands.call(name, args);

async function still(pid: number, ms: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await pause(ms);
  process.kill(pid, 'SIGCONT');
}

async function restartRelay(scene: Scene, i: number, end: 'kill' | 'stop'): Promise<void> {
  await scene.noteMetrics(scene.relays[i]!);
  await scene.relays[i]![end]();
  await scene.startRelay(i);
}

const KINDS: Kind[] = [
  { name: 'cut', counter: 'repairs_total', inject: async (scene, i) => scene.ways[i]!.cut() },
  { name: 'away', counter: 'repairs_total', inject: (scene) => scene.away(undefined, 100) },
  {
    name: 'half-open',
    counter: 'repairs_total',
    inject: async (scene, i) => {
      scene.ways[i]!.deaden();
      await pause(4_500);
    },
  },
  {
    name: 'latency',
    counter: 'repairs_total',
    async inject(scene, i) {
      scene.ways[i]!.slow(150);
      scene.ways[i]!.cut();
      await pause(2_000);
      scene.ways[i]!.slow(0);
    },
  },
  { name: 'CLIENT KILL', counter: 'repairs_total', inject: (scene) => call(scene, 'CLIENT', 'KILL', 'TYPE', 'pubsub') },
  {
    name: 'pub/sub loss',
    counter: 'repairs_total',
    async inject(scene) {
      scene.load.loss = 0.02;
      await scene.load.more(300);
      scene.load.loss = 0;
    },
  },
  {
    name: 'relay stopped',
    counter: 'repairs_total',
    async inject(scene, i) {
      const stopped = still(scene.relays[i]!.pid, 4_000);
      await pause(1_000);
      await call(scene, 'CLIENT', 'KILL', 'TYPE', 'pubsub'); // as Redis does when what it holds for it grows too large
      await stopped;
    },
  },
  {
    name: 'Redis stopped',
    counter: 'repairs_total',
    async inject(scene) {
      await still(scene.redis.pid, 4_000);
      await until(() => scene.commands.ready, 'Redis is back');
    },
  },
  {
    name: 'Redis kill -9',
    counter: 'repairs_total',
    inject: (scene) =>
      scene.away(async () => {
        await scene.redis.kill();
        await scene.startRedis();
      }),
  },
  { name: 'relay kill -9', counter: 'replayed_total', inject: (scene, i) => restartRelay(scene, i, 'kill') },
  { name: 'relay SIGTERM', counter: 'replayed_total', inject: (scene, i) => restartRelay(scene, i, 'stop') },
  {
    name: 'OOM',
    counter: 'messages_total',
    async inject(scene) {
      await call(scene, 'CONFIG', 'SET', 'maxmemory', '1mb');
      await pause(1_000);
      await call(scene, 'CONFIG', 'SET', 'maxmemory', '0');
    },
  },
  { name: 'FLUSHALL', counter: 'resets_total', inject: (scene) => scene.away(() => call(scene, 'FLUSHALL')) },
  {
    name: 'evicted',
    counter: 'repairs_total',
    inject: (scene) =>
      scene.away(() =>
        call(
          scene,
          'DEL',
          [keys.last, keys.clock, keys.index, keys.stream('a' as never)][Math.floor(scene.random() * 4)]!,
        ),
      ),
  },
];

/** 100 readers on each of two relays, `minutes` long: every kind in turn, in an order drawn from the seed. Answers what does not hold. */
export async function soak(seed: number, minutes: number): Promise<string[]> {
  const random = seeded(seed);
  const scene = new Scene({ readersEach: 17, pauseMs: 60, aof: 'always' }, random, {});
  const done = new Map(KINDS.map(({ name }) => [name, { times: 0, counted: 0 }]));
  const why: string[] = [];
  try {
    await scene.start();
    console.log(`${scene.readers.length} readers on two relays, ${minutes} min of ${KINDS.length} kinds of faults`);
    const end = performance.now() + minutes * 60_000;
    while (performance.now() < end) {
      for (const kind of shuffled(KINDS, random)) {
        if (performance.now() > end) break;
        await scene.load.more(100);
        const before = await total(scene, kind.counter);
        await kind.inject(scene, Math.floor(random() * 2));
        scene.ended();
        await scene.ready();
        await until(() => scene.allOpen(), 'readers are back', 20_000);
        await pause(2_500); // whatever one fault left is repaired before the next: its repairs are its own
        const counted = (await total(scene, kind.counter)) - before;
        const tally = done.get(kind.name)!;
        tally.times++;
        tally.counted += counted;
        const left = Math.max(0, Math.round((end - performance.now()) / 1000));
        console.log(`${String(left).padStart(5)} s left  ${kind.name.padEnd(14)} ${kind.counter} +${counted}`);
      }
    }
    await scene.load.more(20);
    await scene.load.stop();
    await until(() => settled(scene.load, scene.readers), 'everything is delivered or declared', 15_000).catch(() => 0);
    const counts = judge(scene.load, scene.readers, scene.ends, new Set());
    console.log(counts);
    if (counts.silent + counts.doubled + counts.turned + counts.wireUndeclared > 0)
      why.push('the oracle counts faults');
    for (const [name, { times, counted }] of done) {
      console.log(`${name.padEnd(14)} ${times} times, ${counted} counted`);
      if (counted === 0) why.push(`${name}: nothing was repaired in ${times} times`);
    }
  } finally {
    const left = await scene.stop();
    if (left > 0) why.push(`${left} processes are left`);
  }
  return why;
}

/** A counter over both relays, and those that were ended before. */
async function total(scene: Scene, name: string): Promise<number> {
  let sum = scene.counted(name);
  for (const { url } of scene.relays) {
    const text = await (await fetch(`${url}/metrics`)).text();
    for (const [, value] of text.matchAll(new RegExp(`^edgewire_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm')))
      sum += Number(value);
  }
  return sum;
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const keyed = list.map((item) => [random(), item] as const);
  return keyed.sort(([a], [b]) => a - b).map(([, item]) => item);
}
