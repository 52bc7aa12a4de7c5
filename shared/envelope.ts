import { type Channel, parseChannel } from './channel.ts';
import { isEpoch, type Position, parsePosition } from './id.ts';

/**
 * A message as it crosses Redis: `1 <ms>-<seq> <previous> <epoch> <channel>\n<json>`. The first word is the version:
 * a relay drops versions it does not know, so old relays and new edges live together.
 */
export interface Envelope {
  position: Position;
  /** The channel's message before this one, kept or not. */
  previous: Position;
  epoch: string;
  channel: Channel;
  /** The whole message as clients see it, one line of UTF-8 JSON. Never parsed on the way. */
  json: Uint8Array;
}

/** A relay's own probe: `2 <ms>-<seq> <epoch>`. */
export interface Pulse {
  tip: Position;
  epoch: string;
}

const LF = 10;
const CR = 13;
const ascii = new TextDecoder('utf-8');

/** The envelope in `bytes`, or undefined: another version, not ours, or a line break that could forge a frame. */
export function parseEnvelope(bytes: Uint8Array): Envelope | undefined {
  const end = bytes.indexOf(LF);
  if (end < 0 || end > 400) return undefined;
  const words = ascii.decode(bytes.subarray(0, end)).split(' ');
  if (words.length !== 5 || words[0] !== '1') return undefined;
  const position = parsePosition(words[1]!);
  const previous = parsePosition(words[2]!);
  const channel = parseChannel(words[4]!);
  const json = bytes.subarray(end + 1);
  if (!position || !previous || !isEpoch(words[3]!) || !channel) return undefined;
  if (json.includes(LF) || json.includes(CR)) return undefined;
  return { position, previous, epoch: words[3]!, channel, json };
}

/** Whether JSON text can stand in a frame as it is. */
export function isOneLine(json: string): boolean {
  return !/[\r\n]/.test(json);
}

export function parsePulse(bytes: Uint8Array): Pulse | undefined {
  const words = ascii.decode(bytes.subarray(0, 64)).split(' ');
  if (words.length !== 3 || words[0] !== '2' || !isEpoch(words[2]!)) return undefined;
  const tip = parsePosition(words[1]!);
  return tip && { tip, epoch: words[2]! };
}
