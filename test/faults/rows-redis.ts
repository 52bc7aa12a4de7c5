import { existsSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { makeClock } from './clock.ts';
import { noReadBack, stopFor, times } from './inject.ts';
import { keys } from './load.ts';
import type { Row } from './row.ts';
import { type Scene, until } from './scene.ts';

async function killRedis(scene: Scene, meanwhile: () => void = () => undefined): Promise<void> {
  await scene.away(async () => {
    await scene.redis.kill();
    meanwhile();
    await scene.startRedis();
  });
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
    true,
  ),
  clockRow('clock of Redis an hour forward, and right again', 3600_000, noReadBack, true),
];

/** Redis itself dies, stands still, forgets, is full, or sees another time. */
export const redisFaults: Row[] = [...redisRows, ...clockRows];
