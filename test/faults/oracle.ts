import { type Channel, matches, type Pattern } from '../../shared/channel.ts';
import { comparePositions, type Id, parseId } from '../../shared/id.ts';
import { type Acked, FLEETING, type Load } from './load.ts';
import type { Alarm, FaultReader } from './reader.ts';

/** What came of the acknowledged messages, summed over all readers: the one judgement for every fault. */
export interface Counts {
  acknowledged: number;
  /** (reader, message) pairs that are due: acknowledged, heard by the reader, begun after its stream was open. */
  due: number;
  delivered: number;
  /** Due, not delivered, and the stream said so by gap or reset. */
  declared: number;
  /** Of those, messages that were to be kept. */
  declaredKept: number;
  /** Due, not delivered, and nobody said so. */
  silent: number;
  /** A message that came as two, after deduping by id. */
  doubled: number;
  /** An id that came twice. */
  wire: number;
  /** Of those, the ones without a declared reset in between. */
  wireUndeclared: number;
  /** Ids that came before a smaller one of their channel. */
  turned: number;
  /** Refused messages that a reader saw all the same. */
  phantoms: number;
  /** Acknowledged as kept, and not in history. */
  unkept: number;
  /** The longest that a fast reader waited, from the end of a fault, for what was its due by then and for the next message. */
  recoveryMs: number;
  /** One loss, silent or of what was to be kept, with what the reader was told. */
  example?: string;
  /** Streams that ended. */
  cuts: number;
}

/** Ends of faults, by performance.now(). */
export type FaultEnds = readonly number[];

export function judge(
  load: Load,
  readers: readonly FaultReader[],
  ends: FaultEnds,
  history: ReadonlySet<string>,
): Counts {
  const ids = new Map<string, Id>();
  const idOf = (text: string) => {
    const known = ids.get(text) ?? parseId(text)!;
    ids.set(text, known);
    return known;
  };
  const counts: Counts = {
    acknowledged: load.acked.length,
    due: 0,
    delivered: 0,
    declared: 0,
    declaredKept: 0,
    silent: 0,
    doubled: 0,
    wire: 0,
    wireUndeclared: 0,
    turned: 0,
    phantoms: 0,
    unkept: load.acked.filter(({ id, channel }) => channel !== FLEETING && !history.has(id)).length,
    recoveryMs: 0,
    cuts: readers.reduce((sum, { cuts }) => sum + cuts, 0),
  };
  for (const reader of readers) {
    readList(reader, load, idOf, counts);
    const arrived = new Map(reader.received.map(({ id, at }) => [id, at]));
    const due = load.acked.filter(({ began, channel }) => began > reader.openedAt && reader.hears(channel));
    counts.due += due.length;
    for (const message of due) {
      if (arrived.has(message.id)) counts.delivered++;
      else {
        const alarm = reader.alarms.find((told) => covers(told, message, reader, idOf));
        if (!alarm) counts.silent++;
        else counts.declared++;
        if (alarm && message.channel !== FLEETING) counts.declaredKept++;
        if (alarm && message.channel === FLEETING) continue;
        counts.example ??= describe(message, reader, alarm);
      }
    }
    if (reader.isFast)
      for (const end of ends) counts.recoveryMs = Math.max(counts.recoveryMs, waited(end, due, arrived));
  }
  return counts;
}

function describe({ id, channel }: Acked, reader: FaultReader, alarm: Alarm | undefined): string {
  const before = reader.received.filter((message) => message.channel === channel).at(-1)?.id;
  const said = alarm ?? reader.alarms.filter((told) => told.kind === 'reset' || told.channel === channel).at(-1);
  const { isOpen, cuts, received, lastId } = reader;
  const state = `${isOpen ? 'open' : 'cut'}, ${cuts} cuts, ${received.length} received, stands at ${lastId}`;
  return `${channel} ${id} to ${reader.subscription} (${state}); told ${JSON.stringify(said)}; its channel's newest was ${before}`;
}

/** Order and doubles of what one reader received. */
function readList(reader: FaultReader, load: Load, idOf: (id: string) => Id, counts: Counts): void {
  const resets = reader.alarms.filter(({ kind }) => kind === 'reset').map(({ index }) => index);
  const seenAt = new Map<string, number>();
  const numbers = new Set<number>();
  let newest = new Map<string, string>();
  for (const [index, { id, channel, n }] of reader.received.entries()) {
    while (resets.length > 0 && resets[0]! <= index) {
      newest = new Map(); // its replay begins further back
      resets.shift();
    }
    if (load.refused.has(n)) counts.phantoms++;
    const before = seenAt.get(id);
    if (before !== undefined) {
      counts.wire++;
      const declared = reader.alarms.some((a) => a.kind === 'reset' && a.index > before && a.index <= index);
      if (!declared) counts.wireUndeclared++;
    } else if (numbers.has(n)) counts.doubled++;
    seenAt.set(id, index);
    numbers.add(n);
    const last = newest.get(channel);
    if (last !== undefined && comparePositions(idOf(last), idOf(id)) > 0) counts.turned++;
    newest.set(channel, id);
  }
}

/**
 * Whether an alarm tells of this message. A gap: its channel, after `after`, before `oldest` or else before the next one
 * that came. A reset: the history that the reader knew ended, and what it does not find from `from` on is gone.
 */
function covers(alarm: Alarm, { id, channel, began }: Acked, reader: FaultReader, idOf: (id: string) => Id): boolean {
  const place = idOf(id);
  if (began > alarm.at) return false;
  if (alarm.kind === 'reset') {
    const from = idOf(alarm.from!);
    if (alarm.reason === 'capped') return comparePositions(place, from) <= 0;
    if (place.epoch === from.epoch && comparePositions(place, from) > 0) return false;
    return alarm.reason === 'epoch' || comparePositions(place, from) > 0;
  }
  if (!matches(alarm.channel as Pattern, channel as Channel)) return false;
  if (comparePositions(place, idOf(alarm.after!)) <= 0) return false;
  if (alarm.oldest) return comparePositions(place, idOf(alarm.oldest)) < 0;
  const next = reader.received.find((message, i) => i >= alarm.index && message.channel === channel);
  return !next || comparePositions(place, idOf(next.id)) < 0;
}

/** From the end of a fault until everything due by then was there, and something newer. */
function waited(end: number, due: readonly Acked[], arrived: ReadonlyMap<string, number>): number {
  let longest = 0;
  let next = Number.POSITIVE_INFINITY;
  for (const { id, began } of due) {
    const at = arrived.get(id);
    if (at === undefined) continue;
    if (began > end) next = Math.min(next, at);
    else if (at > end) longest = Math.max(longest, at - end);
  }
  return Math.max(longest, next === Number.POSITIVE_INFINITY ? 0 : next - end);
}

/** Whether every reader has its due, or was told of it. For waiting: cheap enough to be asked a few times a second. */
export function settled(load: Load, readers: readonly FaultReader[]): boolean {
  return judge(load, readers, [], new Set()).silent === 0;
}
