import type { IncomingMessage } from 'node:http';
import { isIPv6 } from 'node:net';
import { Refusal } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import type { Config } from './config.ts';

/** Whose stream it is, and how many he may hold at this relay at once. */
export interface Seat {
  who: string;
  max: number;
}

/** Undefined: bounded by the relay alone. Keys of one principal share their seats, tokens of one subject too. */
export function seatOf(
  { kind, principal, streamsMax }: Grant,
  address: string,
  { subjectStreamsMax, addressStreamsMax }: Pick<Config, 'subjectStreamsMax' | 'addressStreamsMax'>,
): Seat | undefined {
  const who = kind === 'anonymous' ? address : principal;
  const max = { anonymous: addressStreamsMax, token: subjectStreamsMax, key: streamsMax }[kind];
  return max === undefined ? undefined : { who: `${kind}:${who}`, max };
}

/** How many streams everybody has who has any: no longer than the streams themselves. */
export class Seats {
  readonly #taken = new Map<string, number>();

  /** Throws too_many_streams. A status other than 200 ends a native EventSource for good, on purpose: see docs/protocol.md. */
  demand(seat: Seat | undefined): void {
    if (!seat || (this.#taken.get(seat.who) ?? 0) < seat.max) return;
    throw new Refusal(
      'too_many_streams',
      `At most ${seat.max} streams at once. Close some, or read more channels in one.`,
      { headers: { 'Retry-After': '30' } },
    );
  }

  take(seat: Seat | undefined): void {
    if (seat) this.#taken.set(seat.who, (this.#taken.get(seat.who) ?? 0) + 1);
  }

  leave(seat: Seat | undefined): void {
    if (!seat) return;
    const left = (this.#taken.get(seat.who) ?? 0) - 1;
    if (left > 0) this.#taken.set(seat.who, left);
    else this.#taken.delete(seat.who);
  }

  /** Of how many a count is kept. */
  get size(): number {
    return this.#taken.size;
  }
}

/**
 * Where a request came from: the socket's other end; behind `proxies` of ours what the outermost of them saw, counted from
 * the end of X-Forwarded-For, since anybody may write its beginning. IPv6 by its /64, which is what one household is given.
 */
export function addressOf({ socket, headers }: Pick<IncomingMessage, 'socket' | 'headers'>, proxies: number): string {
  const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
  const address = (proxies > 0 && forwarded.at(-proxies)?.trim()) || socket.remoteAddress || '';
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (!isIPv6(plain)) return plain.slice(0, 64);
  const groups = new URL(`http://[${plain.split('%')[0]}]`).hostname.slice(1, -1).split('::')[0]!.split(':');
  return `${Array.from({ length: 4 }, (_, i) => groups[i] || '0').join(':')}::`;
}
