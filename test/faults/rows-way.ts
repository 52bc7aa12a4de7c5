import { setTimeout as pause } from 'node:timers/promises';
import { noReadBack, signal, times } from './inject.ts';
import type { Row } from './row.ts';
import { until } from './scene.ts';

/** What lies between Redis and the relays breaks. */
export const wayFaults: Row[] = [
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
