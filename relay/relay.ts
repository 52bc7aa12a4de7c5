import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import pLimit from 'p-limit';
import { parseEnvelope, parsePulse } from '../shared/envelope.ts';
import { type AttachParts, type AttachTools, attachParts } from './attach.ts';
import type { Config } from './config.ts';
import { Hub } from './hub.ts';
import type { Log } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createProbe } from './probe.ts';
import { Readers, retryMs } from './readers.ts';
import { connectCommands } from './redis.ts';
import { createRepair } from './repair.ts';
import { createRevocations } from './revocations.ts';
import { Seats } from './seats.ts';
import { createRelayServer } from './server.ts';
import { createSubscriber } from './subscriber.ts';

export interface Relay {
  url: string;
  /** Sends every reader away, spread over the configured time, then closes everything. */
  stop(): Promise<void>;
}

/** Pages of history in memory at once: 64 of 256 KiB. */
const PAGES_AT_ONCE = 64;
/** Lists of changed channels asked for at once: each may cost Redis some 20 ms, and publishers wait behind them. */
const LISTS_AT_ONCE = 4;
/** Each tick looks at every reader once; heartbeats and expiries are this exact. */
const TICK_MS = 1_000;

/** One relay, listening. Throws when its port is taken; Redis may come later. */
export async function startRelay(config: Config, log: Log, parts: AttachParts = attachParts): Promise<Relay> {
  const relayId = randomWord(8);
  const newSeed = () => randomWord(10);
  let draining = false;

  const hub = new Hub({ onEpoch: () => readers.rejoinAll(), onHole: (hole) => repair.hole(hole) });
  const onError = (error: Error) => log.warn({ reason: error.message }, 'Redis connection');
  const redis = connectCommands(config.redisUrl, config.keys, onError);
  const subscriber = createSubscriber(config.redisUrl, [config.keys.relayName(relayId), config.keys.controlName], {
    onMessage: hear,
    onLost() {
      log.warn(
        { readers: readers.size },
        'the subscription to Redis is lost; readers are held until it is whole again',
      );
      hub.hold();
      revocations.lost();
    },
    onWhole(again) {
      log.info({ readers: readers.size }, 'the subscription to Redis is whole');
      if (again) {
        metrics.resubscribed.inc();
        repair.outage();
      }
      probe.send();
      revocations.read();
    },
    onError,
  });
  const metrics = createMetrics({
    readers: () => readers.size,
    messages: () => hub.messages,
    deliveries: () => hub.deliveries,
    ready,
    probeAgeMs: () => probe.ageMs(),
  });
  const tools: AttachTools = {
    redis,
    keys: config.keys,
    hub,
    subscriber,
    metrics,
    newSeed,
    pages: pLimit(PAGES_AT_ONCE),
    lists: pLimit(LISTS_AT_ONCE),
    parts,
  };
  const readers = new Readers(tools, log, () => `${relayId}.${randomWord(12)}`);
  const repair = createRepair({
    redis,
    hub,
    metrics,
    log,
    newSeed,
    whole: () => subscriber.ready,
    rejoinAll: () => readers.rejoinAll(),
    pause,
  });
  const revocations = createRevocations({
    redis,
    log,
    now: Date.now,
    onMore: () => readers.revoke(revocations.covers),
  });
  const seats = new Seats();
  const probe = createProbe({ redis, subscriber, repair, relayId, newSeed, log, now: Date.now });

  /** Redis answers, it is known who is revoked, and the first probe came home: it tells from where on this relay hears everything. */
  function connected(): boolean {
    return subscriber.ready && redis.ready && revocations.known && hub.epoch !== undefined;
  }

  function ready(): boolean {
    return connected() && !draining;
  }

  function hear(bytes: Uint8Array): void {
    const envelope = parseEnvelope(bytes);
    const pulse = envelope ? undefined : parsePulse(bytes);
    if (envelope) {
      hub.dispatch(envelope);
    } else if (pulse) {
      hub.pulse(pulse);
      probe.heard(pulse);
    } else if (!revocations.hear(bytes)) {
      metrics.malformed.inc();
    }
  }

  function tick(): void {
    readers.tick(subscriber.ready ? hub.watermark : undefined, config.heartbeatMs, connected());
    probe.tick(readers.size > 0);
    if (subscriber.ready) revocations.tick();
  }

  const server = createRelayServer({
    config,
    redis,
    metrics,
    log,
    ready,
    roomForMore: () => readers.size < config.readersMax,
    revoked: revocations.covers,
    seats,
    accept(sink, request, seat) {
      seats.take(seat);
      return readers.accept(sink, request, () => seats.leave(seat));
    },
    retryMs,
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.port, config.host, resolve);
  });
  const timer = setInterval(tick, Math.min(TICK_MS, config.heartbeatMs));
  const { port } = server.address() as AddressInfo;
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  log.info({ url, relayId }, 'relay listening');

  /** Unready first, so that load balancers look elsewhere; who comes all the same is asked to come back. */
  async function stop(): Promise<void> {
    draining = true;
    await readers.drain(config.drainMs);
    clearInterval(timer);
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    subscriber.close();
    redis.close();
    log.info('relay stopped');
  }

  return { url, stop };
}

/** Random text of `[a-z0-9]`; a length of 10 is 51 bits. */
function randomWord(length: number): string {
  return Array.from(randomBytes(length), (byte) => (byte % 36).toString(36)).join('');
}
