import { execSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startEdge } from '../../dev/edge.ts';
import { edgeVars } from '../../dev/environment.ts';
import { startWay } from '../helpers/proxy.ts';
import { noReadBack, resumeFromNow, stopFor, times } from './inject.ts';
import type { Row } from './row.ts';
import { until } from './scene.ts';

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
      way.loseAnswers(() => scene.random() < 0.7);
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
  recoveryMsMax: 20_000, // 3 s of it are asked for by `retry:`; the rest is 20,000 sockets on shared cores
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

/** Relays, readers and publishers fail. */
export const endFaults: Row[] = [...relayRows, ...publisherRows, stormRow];
