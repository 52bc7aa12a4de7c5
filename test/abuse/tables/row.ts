import type { ProblemCode } from '../../../shared/errors.ts';
import type { Asked } from '../http.ts';
import type { World } from '../world.ts';

/** One wrong request and the whole of its answer that callers may rely on. */
export interface Row {
  what: string;
  /** Sent with the key that may do everything, unless it names an Authorization; `''` sends none. */
  ask: Asked | ((world: World) => Asked);
  /** Written to a socket as it stands: Node's client would refuse to send it. */
  raw?: boolean;
  status: number;
  code: ProblemCode;
  /** What the detail tells the caller to do. */
  told: RegExp;
  /** The places named in `errors`. */
  pointers?: string[];
  /** Headers of the answer, exactly; undefined: must be absent. */
  headers?: Record<string, string | undefined>;
}

type Ask = Row['ask'];
type Wrong = [what: string, ask: Ask, more?: Partial<Row>];

/** Rows that share their answer. */
export function rows(answer: Pick<Row, 'status' | 'code' | 'told'>, wrongs: Wrong[]): Row[] {
  return wrongs.map(([what, ask, more]) => ({ what, ask, ...answer, ...more }));
}

export const json = { 'Content-Type': 'application/json' };
export const enveloped = { 'Content-Type': 'application/vnd.edgewire+json' };

export function publish(more: Partial<Asked> = {}): Asked {
  const { headers, ...rest } = more;
  return { method: 'POST', path: '/v1/channels/shop:1/messages', headers: { ...json, ...headers }, body: '1', ...rest };
}

export function batch(body: string | Uint8Array, headers: Asked['headers'] = {}): Asked {
  return { method: 'POST', path: '/v1/messages', headers: { ...json, ...headers }, body };
}

export function tokens(body: object | string, headers: Asked['headers'] = {}): Asked {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { method: 'POST', path: '/v1/tokens', headers: { ...json, ...headers }, body: text };
}

export function history(query: string, channel = 'shop:1'): Asked {
  return { path: `/v1/channels/${channel}/messages${query}` };
}

/** Long and unreadable texts as test names. */
export function shown(text: string): string {
  const short = text.length > 40 ? `${text.slice(0, 30)}... (${text.length})` : text;
  return JSON.stringify(short).replaceAll(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16)}`);
}
