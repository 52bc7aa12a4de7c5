import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import pLimit from 'p-limit';
import { parseEnvelope, parsePulse } from '../shared/envelope.ts';
import { passingFrame } from '../shared/sse.ts';
import { type AttachParts, type AttachTools, attachParts } from './attach.ts';
import type { Config } from './config.ts';
import { Hub } from './hub.ts';
import { runJanitor } from './janitor.ts';
import type { Log } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createPolicy } from './policy.ts';
import { createProbe } from './probe.ts';
import { Readers, retryMs } from './readers.ts';
import { connectCommands, isSharded } from './redis.ts';
import { createRepair } from './repair.ts';
import { createRevocations } from './revocations.ts';
import { Seats } from './seats.ts';
import { createRelayServer } from './server.ts';
import { createSharedReads } from './shared-reads.ts';
import { createSubscriber } from './subscriber.ts';

/**
 * What keeps readers whole, handed in so that the tests can hand in wrong ones and see the loss that the right ones prevent.
 * Beside the join (see AttachParts): what is read back, and how a dead connection is noticed.
 */
export interface RelayParts extends AttachParts {
  repair: typeof createRepair;
  probe: typeof createProbe;
}

export const relayParts: RelayParts = { ...attachParts, repair: createRepair, probe: createProbe };

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
export async function startRelay(config: Config, log: Log, parts: RelayParts = relayParts): Promise<Relay> {
  const relayId = randomWord(8);
  const newSeed = () => randomWord(10);
  let draining = false;

  const hub = new Hub({ onEpoch: () => readers.rejoinAll(), onHole: (hole) => repair.hole(hole) });
  const onError = (error: Error) => log.warn({ reason: error.message }, 'Redis connection');
  const policy = createPolicy(() => redis, log);
  const redis = connectCommands(config.redis, config.keys, { onError, onReady: () => policy.check() });
  const ownNames = [config.keys.relayName(relayId), config.keys.controlName];
  const subscriber = createSubscriber(config.redis, config.keys, ownNames, {
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
    evicts: () => policy.warnings.includes('redis_evicts'),
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
    shared: createSharedReads(pause),
    parts,
  };
  const readers = new Readers(tools, log, () => `${relayId}.${randomWord(12)}`);
  const repair = parts.repair({
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
  const sharded = isSharded(config.redis);
  const probe = parts.probe({ redis, subscriber, repair, relayId, sharded, newSeed, log, now: Date.now });

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
    pass(channel, json) {
      metrics.degraded.inc();
      return hub.pass(channel, passingFrame(json));
    },
    warnings: () => policy.warnings,
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
  const janitor = new AbortController();
  void runJanitor(
    {
      redis,
      metrics,
      log,
      relayId,
      retention: config.retention,
      everyMs: config.janitorMs,
      pause: (ms, signal) => pause(ms, undefined, { signal }),
      random: Math.random,
    },
    janitor.signal,
  );
  const { port } = server.address() as AddressInfo;
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  log.info({ url, relayId }, 'relay listening');

  /** Unready first, so that load balancers look elsewhere; who comes all the same is asked to come back. */
  async function stop(): Promise<void> {
    draining = true;
    janitor.abort();
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
