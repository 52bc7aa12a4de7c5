import { onTestFinished } from 'vitest';
import { relayEnv } from '../../dev/environment.ts';
import { freePort } from '../../dev/ports.ts';
import { type RunningRelay, startRelay } from '../../dev/relay.ts';
import { newSecrets } from '../../dev/secrets.ts';
import { isLive, openStream, type TestStream } from './sse.ts';

export interface RelayOn extends RunningRelay {
  /** A stream of this relay that is live when it resolves. */
  open(subscription: string, lastId?: string): Promise<TestStream>;
  metric(name: string): Promise<number>;
}

/** The real relay on a Redis that the test made, until the test is over. */
export async function relayOn(
  redisUrl: string,
  more: Record<string, string> = {},
  readyPath: '/readyz' | '/healthz' = '/readyz',
): Promise<RelayOn> {
  const [edgePort, relayPort] = [await freePort(), await freePort()];
  const env = { ...relayEnv({ edgePort, relayPort, redisUrl, secrets: newSecrets() }), ...more };
  const relay = await startRelay({ env, readyPath });
  onTestFinished(() => relay.kill());
  return {
    ...relay,
    async open(subscription, lastId) {
      const headers: Record<string, string> = lastId === undefined ? {} : { 'Last-Event-ID': lastId };
      for (;;) {
        const stream = await openStream(`${relay.url}/v1/stream?${subscription}`, headers);
        onTestFinished(() => stream.cut());
        const live = await stream.until(isLive).catch((error: unknown) => String(error));
        if (typeof live !== 'string') return stream;
        // Asked to come back, as a relay that is not whole yet asks everybody: a browser does, and so do we.
        if (!live.includes('the stream ended; the stream had [{"retry"')) throw new Error(live);
      }
    },
    async metric(name) {
      const text = await (await fetch(`${relay.url}/metrics`)).text();
      return Number(new RegExp(`^edgewire_${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
    },
  };
}
