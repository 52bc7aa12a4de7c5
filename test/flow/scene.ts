import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { post } from '../helpers/publish.ts';
import { messagesOf, openStream, type TestStream } from '../helpers/sse.ts';
import { type Stack, type StackOptions, startStack } from '../helpers/stack.ts';

/** What is kept in one file's hands: the whole product, running, and the two things that every story does with it. */
export interface Scene {
  readonly stack: Stack;
  /** Publishes through the edge, which must take it. Answers the id. */
  publish(channel: string, data: unknown, headers?: Record<string, string>): Promise<string>;
  /** Publishes until it is taken: 503 leaves the outcome unknown, and a key makes the repetition safe. Answers the id. */
  publishSurely(channel: string, data: unknown): Promise<string>;
  /** A stream whose replay has ended: whatever is published from here on reaches it live. Cut after the test. */
  read(query: string, more?: { lastEventId?: string | undefined; relayUrl?: string }): Promise<TestStream>;
}

/** How long a publisher goes on trying; Redis and relays are back within two seconds. */
const surelyMsMax = 20_000;

/** The stack of one file, with an edge: started before its first test, stopped after its last. */
export function useScene(options: StackOptions = {}): Scene {
  let stack: Stack | undefined;
  const open: TestStream[] = [];

  beforeAll(async () => {
    stack = await startStack({ edge: true, ...options });
  });
  afterEach(() => {
    for (const stream of open.splice(0)) stream.cut();
  });
  afterAll(() => stack?.stop());

  const scene: Scene = {
    get stack() {
      return stack!;
    },
    async publish(channel, data, headers) {
      const response = await post(scene.stack, `/v1/channels/${channel}/messages`, JSON.stringify(data), headers);
      const answer = await response.json();
      expect(response, JSON.stringify(answer)).toHaveProperty('ok', true);
      return answer.id;
    },
    async publishSurely(channel, data) {
      const key = { 'Idempotency-Key': randomUUID() };
      const deadline = performance.now() + surelyMsMax;
      while (performance.now() < deadline) {
        const response = await post(scene.stack, `/v1/channels/${channel}/messages`, JSON.stringify(data), key);
        const answer = await response.json();
        if (response.ok) return answer.id;
        expect(answer).toMatchObject({ status: 503, code: 'redis_unavailable' });
        await pause(25);
      }
      throw new Error(`nobody took it for ${surelyMsMax} ms`);
    },
    async read(query, { lastEventId, relayUrl = scene.stack.relayUrl } = {}) {
      const headers: Record<string, string> = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
      const stream = await openStream(`${relayUrl}/v1/stream?${query}`, headers);
      open.push(stream);
      await stream.until((blocks) => blocks.some((block) => block.id && !block.data && !block.retry));
      return stream;
    },
  };
  return scene;
}

/** The ids of the messages that a stream has brought, doubled ones doubled. */
export function idsOf(stream: TestStream): string[] {
  return messagesOf(stream.blocks).map((message) => message.id);
}

/** Waits until `last` has come; answers the ids of everything until then. Whoever publishes `last` last has seen all. */
export async function idsUpTo(stream: TestStream, last: string): Promise<string[]> {
  await stream.until((blocks) => blocks.some((block) => block.id === last && block.data !== undefined));
  return idsOf(stream);
}

/** Ids in the order in which Redis gave them. */
export function inOrder(ids: readonly string[]): string[] {
  const place = (id: string) => id.split('-').slice(1).map(Number) as [number, number];
  return [...ids].sort((a, b) => place(a)[0] - place(b)[0] || place(a)[1] - place(b)[1]);
}

/** One number of `/metrics`, all labels together. */
export async function metric(relayUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${relayUrl}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
