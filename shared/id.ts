/** A place in one epoch: milliseconds of Redis's clock and a counter within them. */
export interface Position {
  readonly ms: number;
  readonly seq: number;
}

/**
 * A message's name and place in one: `<epoch>-<ms>-<seq>`, given once by the publish script. Within an epoch ids
 * strictly increase over all channels of a deployment. Clients treat it as opaque; a kept one is a cursor.
 */
export interface Id extends Position {
  readonly epoch: string;
}

// 15 and 10 digits: both halves stay exact in a double, and an epoch is ten characters of [a-z0-9] drawn by the publisher.
const POSITION = /^(\d{1,15})-(\d{1,10})$/;
const ID = /^([a-z0-9]{1,24})-(\d{1,15})-(\d{1,10})$/;
const EPOCH = /^[a-z0-9]{1,24}$/;

/** The place before everything. */
export const zero: Position = { ms: 0, seq: 0 };

export function parsePosition(text: string): Position | undefined {
  const m = POSITION.exec(text);
  return m ? { ms: Number(m[1]), seq: Number(m[2]) } : undefined;
}

export function parseId(text: string): Id | undefined {
  const m = ID.exec(text);
  return m ? { epoch: m[1]!, ms: Number(m[2]), seq: Number(m[3]) } : undefined;
}

/** Whether `text` can stand first in an id. */
export function isEpoch(text: string): boolean {
  return EPOCH.test(text);
}

export function formatPosition(p: Position): string {
  return `${p.ms}-${p.seq}`;
}

export function formatId(epoch: string, p: Position): string {
  return `${epoch}-${p.ms}-${p.seq}`;
}

/** The newest place before `p` that a message can have: ten digits of counter never fill within a millisecond. */
export function placeBefore(p: Position): Position {
  return p.seq > 0 ? { ms: p.ms, seq: p.seq - 1 } : { ms: p.ms - 1, seq: 9_999_999_999 };
}

/** Negative, zero or positive as `a` lies before, at or after `b`. Epochs are not compared: see `shared/continuity.ts`. */
export function comparePositions(a: Position, b: Position): number {
  return a.ms - b.ms || a.seq - b.seq;
}
