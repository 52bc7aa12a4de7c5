import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { EventSource } from 'eventsource';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { layWire, type Wire } from './wire.ts';

const root = new URL('../..', import.meta.url).pathname;

/** Clients that are not ours: each reads a channel and a pattern, is cut off, and comes back by itself or by hand. */

let stack: Stack;
let redis: Direct;
const children: ChildProcess[] = [];

beforeAll(async () => {
  stack = await startStack();
  redis = await connectDirect(stack.redis.url);
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  redis.close();
  await stack.stop();
});

/** The lines of a program's output, as they come. */
function run(command: string, args: string[]) {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  return { child, lines };
}

const until = (holds: () => boolean) => vi.waitUntil(holds, { timeout: 15_000, interval: 10 });

/** Each client has channels of its own: two of them wait for their `retry:` at the same time. */
const queryOf = (name: string) => `channel=${name}&pattern=${name}:*`;

async function publishFive(name: string): Promise<string[]> {
  const ids: string[] = [];
  for (const channel of ['', ':1', '', ':2', '']) ids.push(await redis.publish(name + channel, channel));
  return ids;
}

/** Twice: five messages while it reads, a cut, five while nobody does. */
async function expectAllOnce(name: string, wire: Wire, opened: () => number, received: () => string[]): Promise<void> {
  const published: string[] = [];
  for (let cut = 0; cut < 2; cut++) {
    await until(() => opened() === cut + 1);
    published.push(...(await publishFive(name)));
    await until(() => received().at(-1) === published.at(-1));
    wire.cut();
    published.push(...(await publishFive(name)));
  }
  await until(() => received().at(-1) === published.at(-1));
  published.push(...(await publishFive(name)));
  await until(() => received().at(-1) === published.at(-1));
  expect(received()).toEqual(published);
  expect([opened(), wire.connections]).toEqual([3, 3]);
}

test.concurrent('the npm package eventsource has everything once, in order, after cuts', async () => {
  const received: string[] = [];
  let opened = 0;
  const wire = await layWire(stack.relayUrl);
  const source = new EventSource(`${wire.url}/v1/stream?${queryOf('npm')}`);
  source.addEventListener('edgewire.open', () => {
    opened++;
  });
  source.addEventListener('message', ({ data, lastEventId }) => {
    received.push(JSON.parse(data).id === lastEventId ? lastEventId : `${lastEventId} is not its id`);
  });
  try {
    await expectAllOnce(
      'npm',
      wire,
      () => opened,
      () => received,
    );
  } finally {
    source.close();
    await wire.close();
  }
});

test.concurrent("a reader of Python's standard library has everything once, in order, after cuts", async () => {
  const wire = await layWire(stack.relayUrl);
  const { lines } = run('python3', ['test/clients/reader.py', `${wire.url}/v1/stream?${queryOf('python')}`]);
  const opened = () => lines.filter((line) => line === 'open').length;
  try {
    await expectAllOnce('python', wire, opened, () => lines.filter((line) => line !== 'open'));
  } finally {
    await wire.close();
  }
});

test.concurrent('curl prints the stream, and resumes by hand with the last id that it printed', async () => {
  const idsIn = (lines: string[]) =>
    lines.filter((line) => line.startsWith('data: {"id":')).map((line) => line.split('"')[3]!);
  const seen: string[] = [];
  const published: string[] = [];
  let cursor: string | undefined;
  for (let read = 0; read < 3; read++) {
    const resume = cursor === undefined ? [] : ['-H', `Last-Event-ID: ${cursor}`];
    const { child, lines } = run('curl', ['-sN', ...resume, `${stack.relayUrl}/v1/stream?${queryOf('curl')}`]);
    await until(() => lines.includes('event: edgewire.open'));
    expect(lines.slice(0, 3)).toEqual([
      expect.stringMatching(/^retry: \d+$/),
      cursor === undefined ? expect.stringMatching(/^id: \S+$/) : `id: ${cursor}`,
      '',
    ]);
    published.push(...(await publishFive('curl')));
    await until(() => idsIn(lines).at(-1) === published.at(-1));
    child.kill('SIGKILL');
    await once(child, 'close');
    seen.push(...idsIn(lines));
    cursor = lines.findLast((line) => line.startsWith('id: '))!.slice(4);
    if (read < 2) published.push(...(await publishFive('curl'))); // nobody listens
  }
  expect(seen).toEqual(published);
});
