import { randomBytes, randomInt } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import pLimit from 'p-limit';
import { parseEnvelope, parsePulse } from '../shared/envelope.ts';
import { type Id, parseId } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { RedisAway } from '../shared/redis.ts';
import { probe } from '../shared/scripts/clock.ts';
import { type AttachParts, type AttachTools, attachParts, catchUp, unlisten } from './attach.ts';
import type { Config } from './config.ts';
import { Reader, type Sink } from './connection.ts';
import { Hub } from './hub.ts';
import type { Log } from './log.ts';
import { createMetrics } from './metrics.ts';
import { connectCommands } from './redis.ts';
import { createRelayServer } from './server.ts';
import type { StreamRequest } from './stream.ts';
import { createSubscriber } from './subscriber.ts';

export interface Relay {
  url: string;
  /** Sends every reader away, spread over the configured time, then closes everything. */
  stop(): Promise<void>;
}

/** Pages of history in memory at once: 64 of 256 KiB. */
const PAGES_AT_ONCE = 64;
/** Each tick looks at every reader once; heartbeats, expiries and stalls are this exact. */
const TICK_MS = 1_000;

/** One relay, listening. Throws when its port is taken; Redis may come later. */
export async function startRelay(config: Config, log: Log, parts: AttachParts = attachParts): Promise<Relay> {
  const relayId = randomWord(8);
  const readers = new Set<Reader>();
  /** Readers whose join broke off when Redis went away: they keep their place, and join again when it answers. */
  const stranded = new Set<Reader>();
  let draining = false;
  let pulseMs = Date.now();

  const hub = new Hub(rejoinAll);
  const onError = (error: Error) => log.warn({ reason: error.message }, 'Redis connection');
  const redis = connectCommands(config.redisUrl, config.keys, onError);
  const subscriber = createSubscriber(config.redisUrl, config.keys.relayName(relayId), {
    onMessage: hear,
    onLost() {
      log.warn('the subscription to Redis is lost; readers are held until it is whole again');
      for (const reader of readers) reader.beginJoin();
    },
    onWhole(again) {
      log.info({ readers: readers.size }, 'the subscription to Redis is whole');
      if (again) metrics.restored.inc();
      rejoinAll();
      sendProbe();
    },
    onError,
  });
  const metrics = createMetrics({
    readers: () => readers.size,
    messages: () => hub.messages,
    deliveries: () => hub.deliveries,
    ready,
    probeAgeMs: () => Date.now() - pulseMs,
  });
  const tools: AttachTools = {
    redis,
    keys: config.keys,
    hub,
    subscriber,
    metrics,
    newSeed: () => randomWord(10),
    gate: pLimit(PAGES_AT_ONCE),
    parts,
  };

  function ready(): boolean {
    return subscriber.ready && redis.ready && !draining;
  }

  function hear(bytes: Uint8Array): void {
    const envelope = parseEnvelope(bytes);
    const pulse = envelope ? undefined : parsePulse(bytes);
    if (envelope) {
      hub.dispatch(envelope);
    } else if (pulse) {
      pulseMs = Date.now();
      hub.pulse(pulse);
    } else {
      metrics.malformed.inc();
    }
  }

  function accept(sink: Sink, request: StreamRequest): { gone(): void } {
    const { channels, patterns, grant, start } = request;
    const about = { id: `${relayId}.${randomWord(12)}`, channels, patterns, grant, retryMs: retryMs() };
    const reader = new Reader(sink, about, Date.now);
    readers.add(reader);
    reader.onSlow = () => {
      metrics.slow.inc();
      rejoin(reader);
    };
    reader.onClosed = (reason) => {
      metrics.closed.inc({ reason });
      readers.delete(reader);
      stranded.delete(reader);
      unlisten(reader, tools);
    };
    run(reader, parts.attach(reader, start, tools));
    return { gone: () => reader.close('client') };
  }

  /** From where it stands. One that stands nowhere yet has its own attach under way, which begins anew. */
  function rejoin(reader: Reader): void {
    const { cursor } = reader;
    if (cursor) run(reader, catchUp(reader, { kind: 'resume', cursor }, tools));
  }

  function rejoinAll(): void {
    stranded.clear();
    for (const reader of readers) {
      reader.beginJoin(); // at once: nothing may be delivered between here and the join's own first step
      rejoin(reader);
    }
  }

  function run(reader: Reader, join: Promise<void>): void {
    join.catch((error: unknown) => {
      if (error instanceof RedisAway && reader.greeted) {
        if (reader.state !== 'closed') stranded.add(reader); // it has done nothing wrong, and loses nothing by waiting
        return;
      }
      if (!(error instanceof RedisAway)) log.error({ err: error, connectionId: reader.id }, 'a join failed');
      reader.close('redis');
    });
  }

  function sendProbe(): void {
    redis.run(probe, { seed: randomWord(10), relayId }).catch((error: Error) => {
      log.debug({ reason: error.message }, 'a probe failed');
    });
  }

  function tick(): void {
    const watermark: Id | undefined = subscriber.ready && hub.watermark ? parseId(hub.watermark) : undefined;
    for (const reader of readers) reader.tick(watermark, config.heartbeatMs);
    if (!ready()) return;
    const waiting = [...stranded];
    stranded.clear();
    for (const reader of waiting) rejoin(reader);
  }

  const server = createRelayServer({ config, redis, metrics, log, ready, accept, retryMs });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.port, config.host, resolve);
  });
  const timers = [
    setInterval(tick, Math.min(TICK_MS, config.heartbeatMs)),
    // A heartbeat must never repeat an old watermark, so probes come home at least twice between two of them.
    setInterval(sendProbe, Math.min(config.heartbeatMs / 3, 5_000)),
  ];
  const { port } = server.address() as AddressInfo;
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  log.info({ url, relayId }, 'relay listening');

  async function stop(): Promise<void> {
    draining = true;
    for (const timer of timers) clearInterval(timer);
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeIdleConnections();
    await drain([...readers], config.drainMs);
    server.closeAllConnections();
    await closed;
    subscriber.close();
    redis.close();
    log.info('relay stopped');
  }

  return { url, stop };
}

/** Says `bye` in slices over `drainMs`, each reader with its own time to come back, so that no crowd moves at once. */
async function drain(readers: readonly Reader[], drainMs: number): Promise<void> {
  const slices = Math.max(1, Math.min(50, readers.length));
  for (let i = 0; i < slices; i++) {
    for (let r = i; r < readers.length; r += slices) readers[r]!.close('drain', retryMs());
    if (i < slices - 1) await new Promise((resolve) => setTimeout(resolve, drainMs / slices));
  }
  // What was written last leaves with the event loop's next turns.
  await new Promise((resolve) => setTimeout(resolve, Math.min(drainMs, 100)));
}

function retryMs(): number {
  return randomInt(limits.retryMsMin, limits.retryMsMax);
}

/** Random text of `[a-z0-9]`; `length` of 10 is 51 bits. */
function randomWord(length: number): string {
  return Array.from(randomBytes(length), (byte) => (byte % 36).toString(36)).join('');
}
