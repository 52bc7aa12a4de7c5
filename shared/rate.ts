import { parseDuration } from './duration.ts';

/** So many messages in so long: all of them at once if need be, and then as the allowance refills, evenly (GCRA). */
export interface Rate {
  messages: number;
  perMs: number;
}

/** `100/s`, `600/m`, `20/10s`: up to 10,000 a second, over a day at most. Undefined for anything else. */
export function parseRate(text: string): Rate | undefined {
  const m = /^(\d{1,9})\/(\d{0,5})([smh])$/.exec(text);
  const perMs = m ? parseDuration(`${m[2] || 1}${m[3]}`)! : 0;
  const messages = Number(m?.[1]);
  return messages >= 1 && perMs >= 1000 && perMs <= 86_400_000 && messages <= perMs * 10
    ? { messages, perMs }
    : undefined;
}

/** One message's share of the window, in whole microseconds, so that the script counts exactly; at most 1 % short. */
export function everyMicros({ messages, perMs }: Rate): number {
  return Math.floor((perMs * 1000) / messages);
}

/** What is left when `usedMicros` of the window are, whole messages; and in how many seconds all of it is there again. */
export function allowance(rate: Rate, usedMicros: number): { remaining: number; fullS: number } {
  return {
    remaining: Math.floor(rate.messages - usedMicros / everyMicros(rate)),
    fullS: Math.ceil(usedMicros / 1e6),
  };
}

/** In how many seconds `count` messages will be allowed; undefined: never, they are more than the whole allowance. */
export function waitS(rate: Rate, usedMicros: number, count: number): number | undefined {
  if (count > rate.messages) return undefined;
  return Math.ceil((usedMicros - (rate.messages - count) * everyMicros(rate)) / 1e6);
}
