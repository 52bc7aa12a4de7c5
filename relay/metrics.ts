import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { CloseReason } from '../shared/close.ts';
import type { GapReason, ResetReason } from '../shared/continuity.ts';

/** What `/metrics` tells, in Prometheus's text format. `docs/operations.md` says what each means. */
export interface Metrics {
  registry: Registry;
  replayed: Counter;
  gaps: Counter<'reason'>;
  resets: Counter<'reason'>;
  closed: Counter<'reason'>;
  shed: Counter;
  slow: Counter;
  refused: Counter<'code'>;
  malformed: Counter;
  /** By kind: `outage` (the subscription was away) or `hole` (pub/sub lost something). */
  repairs: Counter<'kind'>;
  repaired: Counter;
  resubscribed: Counter;
  unaudited: Counter;
  forgotten: Counter;
  degraded: Counter;
}

/** Plain numbers that the hot path counts; read only when somebody asks. */
export interface Gauges {
  readers(): number;
  messages(): number;
  deliveries(): number;
  ready(): boolean;
  probeAgeMs(): number;
  evicts(): boolean;
}

export type { CloseReason, GapReason, ResetReason };

export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = (name: string, help: string) => new Counter({ name: `edgewire_${name}`, help, registers });
  const reasons = (name: string, help: string) =>
    new Counter({ name: `edgewire_${name}`, help, registers, labelNames: ['reason'] as const });
  const read = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `edgewire_${name}`,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });

  /** Counted elsewhere as a plain number, told as the counter it is. */
  const tally = (name: string, help: string, value: () => number) =>
    new Counter({
      name: `edgewire_${name}`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value());
      },
    });

  read('readers', 'Open streams', gauges.readers);
  tally('messages_total', 'Messages heard from Redis, copies not counted', gauges.messages);
  tally('deliveries_total', 'Messages handed to readers, one each', gauges.deliveries);
  read('ready', '1 while the subscription to Redis is whole', () => (gauges.ready() ? 1 : 0));
  read('probe_age_seconds', 'Time since a probe last came home through Redis', () => gauges.probeAgeMs() / 1000);
  read('redis_evicts', '1 while Redis is set to evict keys when its memory is full', () => (gauges.evicts() ? 1 : 0));
  return {
    registry,
    replayed: counter('replayed_total', 'Messages sent from history'),
    gaps: reasons('gaps_total', 'Known losses told to readers'),
    resets: reasons('resets_total', 'Readers told that the history itself changed'),
    closed: reasons('streams_closed_total', 'Streams ended, by reason'),
    shed: counter('streams_shed_total', 'Streams asked to come back later'),
    slow: counter('slow_total', 'Times a reader fell behind and was moved to history'),
    refused: new Counter({
      name: 'edgewire_refused_total',
      help: 'Requests refused, by problem code',
      registers,
      labelNames: ['code'] as const,
    }),
    malformed: counter('malformed_total', 'Pub/sub messages that were not ours and were dropped'),
    repairs: new Counter({
      name: 'edgewire_repairs_total',
      help: 'Times what pub/sub did not bring was read from history, by kind',
      registers,
      labelNames: ['kind'] as const,
    }),
    repaired: counter('repaired_total', 'Messages that pub/sub did not bring and history did'),
    unaudited: counter('unaudited_total', 'Audits given up because more channels changed than one compares'),
    resubscribed: counter('resubscribed_total', 'Times the subscription to Redis was lost and made whole'),
    degraded: counter('degraded_total', 'Messages taken for live delivery alone, because an edge did not reach Redis'),
    forgotten: counter('forgotten_total', 'Long-quiet channels that this relay dropped from last and index'),
  };
}
