import { execSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startEdge } from '../../dev/edge.ts';
import { edgeVars } from '../../dev/environment.ts';
import { startWay } from '../helpers/proxy.ts';
import { makeClock } from './clock.ts';
import { keys } from './load.ts';
import type { Row } from './row.ts';
import { type Scene, until } from './scene.ts';

const noReadBack = { relay: 'nothing is read back after an outage' };
const resumeFromNow = { relay: 'a resume begins now' };

/** Runs `once` so many times with load in between. */
async function times(count: number, scene: Scene, once: (i: number) => Promise<unknown>): Promise<number> {
  for (let i = 0; i < count; i++) {
    await scene.load.more(40);
    await once(i);
  }
  return count;
}

async function killRedis(scene: Scene, meanwhile: () => void = () => undefined): Promise<void> {
  await scene.away(async () => {
    await scene.redis.kill();
    meanwhile();
    await scene.startRedis();
  });
}

function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}

async function stopFor(scene: Scene, pid: number, ms: number): Promise<void> {
  signal(pid, 'SIGSTOP');
  try {
    await pause(ms);
  } finally {
    signal(pid, 'SIGCONT');
  }
  scene.ended();
}

/** The end of the append-only file, as a power failure takes it. */
function cutTail({ dir }: Scene, bytes: number): void {
  const folder = join(dir, 'redis', 'appendonlydir');
  const name = existsSync(folder) && readdirSync(folder).find((file) => file.endsWith('.incr.aof'));
  if (!name) throw new Error('no append-only file to cut');
  const file = join(folder, name);
  truncateSync(file, Math.max(0, statSync(file).size - bytes));
}

const killed = (aof: 'always' | 'everysec' | 'none'): Pick<Row, 'settings' | 'counter' | 'control' | 'run'> => ({
  settings: { aof },
  counter: 'repairs_total',
  control: noReadBack,
  run: (scene) => times(3, scene, () => killRedis(scene)),
});

const redisRows: Row[] = [
  { name: 'Redis kill -9, AOF always', ...killed('always'), quick: true },
  { name: 'Redis kill -9, AOF everysec', ...killed('everysec') },
  { name: 'Redis kill -9, nothing persisted', ...killed('none'), counter: 'resets_total', declares: true },
  {
    name: 'Redis kill -9, tail of the AOF cut',
    ...killed('everysec'),
    counter: 'resets_total',
    declares: true,
    quick: true,
    run: (scene) => times(3, scene, () => killRedis(scene, () => cutTail(scene, 20_000))),
  },
  {
    name: 'Redis stands still for 5 s',
    counter: 'resubscribed_total',
    control: noReadBack,
    async run(scene) {
      return times(2, scene, async () => {
        await stopFor(scene, scene.redis.pid, 5_000);
        await scene.away();
      });
    },
  },
  {
    name: 'FLUSHALL',
    counter: 'resets_total',
    control: noReadBack,
    declares: true,
    run: (scene) => times(3, scene, () => scene.away(() => scene.commands.call('FLUSHALL', []))),
  },
  {
    name: 'Redis is full (OOM)',
    counter: 'messages_total',
    control: { publisher: 'a message is sent before it is kept' },
    run: (scene) =>
      times(3, scene, async () => {
        const { refused } = scene.load;
        const before = refused.size;
        await scene.commands.call('CONFIG', ['SET', 'maxmemory', '1mb']);
        await until(() => refused.size > before + 40, 'publishes are refused');
        await scene.commands.call('CONFIG', ['SET', 'maxmemory', '0']);
        scene.ended();
      }),
  },
  ...(['last', 'clock', 'index', 'stream'] as const).map(
    (what): Row => ({
      name: `evicted: ${what}`,
      counter: what === 'stream' ? 'gaps_total' : what === 'index' ? 'repairs_total' : 'resets_total',
      control: noReadBack,
      declares: true,
      run: (scene) =>
        times(2, scene, () =>
          scene.away(async () => {
            await scene.load.more(40);
            await scene.commands.call('DEL', [what === 'stream' ? keys.stream('a' as never) : keys[what]]);
          }),
        ),
    }),
  ),
];

const wayRows: Row[] = [
  {
    name: 'connections to Redis end',
    counter: 'resubscribed_total',
    control: noReadBack,
    run: (scene) =>
      times(6, scene, async (i) => {
        scene.ways[i % 2]!.cut('end');
        await scene.away(undefined, 20);
      }),
  },
  {
    name: 'connections to Redis are reset',
    counter: 'resubscribed_total',
    control: noReadBack,
    quick: true,
    run: (scene) => times(6, scene, () => scene.away(undefined, 20)),
  },
  {
    name: '150 ms to Redis, readers coming and going',
    settings: { readersEach: 2 },
    counter: 'replayed_total',
    control: { relay: 'history is read before Redis is listened to' },
    endsStreams: true,
    async run(scene) {
      for (const way of scene.ways) way.slow(150);
      const count = await times(6, scene, async () => {
        for (const reader of scene.readers) reader.cut();
        await until(() => scene.allOpen(), 'readers are back');
      });
      for (const way of scene.ways) way.slow(0);
      scene.ended();
      return count;
    },
  },
  {
    name: 'half-open: connections carry nothing',
    counter: 'resubscribed_total',
    control: { relay: 'nobody misses a probe' },
    quick: true,
    run: (scene) =>
      times(2, scene, async () => {
        for (const way of scene.ways) way.deaden();
        scene.ended();
        await pause(5_500);
      }),
  },
  {
    name: 'Redis drops subscribers (CLIENT KILL)',
    counter: 'resubscribed_total',
    control: noReadBack,
    run: (scene) =>
      times(5, scene, async () => {
        for (const way of scene.ways) way.slow(40); // so that something is published before it is back
        await scene.commands.call('CLIENT', ['KILL', 'TYPE', 'pubsub']);
        scene.ended();
        await pause(800);
        for (const way of scene.ways) way.slow(0);
      }),
  },
  {
    name: 'Redis drops a relay that reads too slowly',
    settings: { direct: true, bodyBytes: 64 << 10, pauseMs: 4, aof: 'none' },
    counter: 'repairs_total',
    control: noReadBack,
    rssMbMax: 500,
    async run(scene) {
      await scene.commands.call('CONFIG', ['SET', 'client-output-buffer-limit', 'pubsub 1mb 1mb 1']);
      return times(1, scene, async () => {
        const { pid } = scene.relays[0]!;
        signal(pid, 'SIGSTOP');
        await scene.load.more(500, 30_000).finally(() => signal(pid, 'SIGCONT'));
        scene.ended();
        scene.load.pauseMs = 30;
      });
    },
  },
  {
    name: 'pub/sub loses 1 %',
    settings: { pauseMs: 3 },
    counter: 'repairs_total',
    control: { relay: 'neither chain nor audit is looked at' },
    quick: true,
    async run(scene) {
      scene.load.loss = 0.01;
      await scene.load.more(1_500, 30_000);
      scene.load.loss = 0;
      scene.ended();
      return Math.round(scene.load.acked.length / 100);
    },
  },
];

const relayRows: Row[] = [
  {
    name: 'relay kill -9, readers resume',
    counter: 'replayed_total',
    control: resumeFromNow,
    endsStreams: true,
    quick: true,
    run: (scene) =>
      times(4, scene, async (i) => {
        const relay = scene.relays[i % 2]!;
        await scene.noteMetrics(relay);
        await relay.kill();
        await scene.load.more(20);
        await scene.startRelay(i % 2);
        scene.ended();
        await until(() => scene.allOpen(), 'readers are back');
      }),
  },
  {
    name: 'rolling restart (SIGTERM)',
    settings: { roams: true },
    counter: 'replayed_total',
    control: resumeFromNow,
    endsStreams: true,
    run: (scene) =>
      times(4, scene, async (i) => {
        const relay = scene.relays[i % 2]!;
        await scene.noteMetrics(relay);
        await relay.stop();
        await scene.startRelay(i % 2);
        scene.ended();
        await until(() => scene.allOpen(), 'readers are back');
      }),
  },
  {
    name: 'relay stands still for 4 s',
    counter: 'resubscribed_total',
    control: noReadBack,
    run: (scene) =>
      times(2, scene, async () => {
        await stopFor(scene, scene.relays[0]!.pid, 4_000);
        await scene.away();
      }),
  },
  {
    name: 'slow, stalled and one-byte readers',
    settings: {
      bodyBytes: 8 << 10,
      pauseMs: 2,
      aof: 'none',
      subscriptions: ['channel=a', 'pattern=u:*', 'channel=b&channel=c'],
      paced: (['slow', 'byte', 'stalled'] as const).flatMap((pace) => [
        { pace, subscription: 'channel=a&channel=b&channel=c' },
        { pace, subscription: 'pattern=*' },
      ]),
    },
    counter: 'slow_total',
    control: { relay: 'a slow reader goes on without history' },
    endsStreams: true,
    quick: true,
    async run(scene) {
      await scene.load.more(2_500, 60_000);
      scene.load.pauseMs = 50;
      await pause(11_000); // longer than a reader may take without draining a byte
      scene.ended();
      return scene.settings.paced!.length;
    },
  },
];

const publisherRows: Row[] = [
  {
    name: 'answers to the edge are lost, publishers try again',
    settings: { pauseMs: 5 },
    counter: 'messages_total',
    control: { edge: 'every try has a key of its own' },
    async send(scene) {
      const way = await startWay(Number(new URL(scene.relays[1]!.url).port));
      scene.ways.push(way);
      const about = { edgePort: 1, relayPort: way.port, redisUrl: '', secrets: scene.secrets };
      const edge = await startEdge({ vars: edgeVars(about), dir: join(scene.dir, 'edge') });
      scene.atEnd(() => edge.stop(), edge.pid);
      way.loseAnswers(() => scene.random() < 0.1);
      return async (channel, n) => {
        const key = randomUUID();
        for (;;) {
          const headers = {
            Authorization: `Bearer ${scene.secrets.publishKey}`,
            'Content-Type': 'application/json',
            'Idempotency-Key': scene.wrong.edge ? randomUUID() : key,
          };
          const url = `${edge.url}/v1/channels/${channel}/messages`;
          const answer = await fetch(url, { method: 'POST', headers, body: `[${n}]` });
          const { id } = (await answer.json()) as { id: string };
          if (answer.ok) return id;
          scene.retries++;
          if (scene.load?.stopped) throw new Error('given up: it is over');
        }
      };
    },
    async run(scene) {
      await scene.load.more(400, 60_000);
      scene.ended();
      return scene.retries;
    },
  },
];

/** A step of the clock in one direction, with a channel that is new and streams that expire on the way. */
const clockRow = (name: string, offsetMs: number, control: Row['control'], declares: boolean): Row => {
  let clock: ReturnType<typeof makeClock>;
  return {
    name,
    counter: 'repairs_total',
    control,
    declares,
    prepare() {
      clock = makeClock();
      return 'missing' in clock ? clock : { settings: { redisEnv: clock.env }, remove: clock.remove };
    },
    run: (scene) =>
      times(2, scene, async (i) => {
        await scene.away(async () => {
          await scene.load.more(20);
          if (!('missing' in clock)) clock.set(i === 0 ? offsetMs : 0);
        });
        await scene.load.more(60);
      }),
  };
};

const clockRows: Row[] = [
  clockRow(
    'clock of Redis an hour back, and right again',
    -3600_000,
    { publisher: 'ids follow the clock wherever it goes' },
    false,
  ),
  clockRow('clock of Redis an hour forward, and right again', 3600_000, noReadBack, true),
];

/** Each reader is a descriptor here and one in a relay; some hundred are needed for the rest. */
const stormReaders = Math.min(10_000, Number(execSync('ulimit -n', { encoding: 'utf8' })) - 500 || 10_000);

const stormRow: Row = {
  name: `reconnect storm of ${stormReaders} readers`,
  settings: {
    subscriptions: ['channel=a&channel=b'],
    readersEach: Math.floor(stormReaders / 2),
    returnsWhenAsked: true,
    channels: ['a', 'b'],
    pauseMs: 200,
    publishers: 1,
  },
  counter: 'replayed_total',
  control: resumeFromNow,
  endsStreams: true,
  rssMbMax: 600,
  async run(scene) {
    for (const relay of scene.relays) await scene.noteMetrics(relay);
    await Promise.all(scene.relays.map((relay) => relay.kill()));
    await scene.load.more(20);
    const before = await scene.redisCpuMs();
    const start = performance.now();
    await Promise.all([scene.startRelay(0), scene.startRelay(1)]);
    scene.ended();
    await until(() => scene.allOpen(), 'readers are back', 60_000);
    const [ms, cpu] = [Math.round(performance.now() - start), (await scene.redisCpuMs()) - before];
    scene.note = `back in ${ms} ms with relays starting, Redis CPU ${cpu} ms`;
    return scene.readers.length;
  },
};

export const rows: Row[] = [...redisRows, ...wayRows, ...relayRows, ...publisherRows, ...clockRows, stormRow];
