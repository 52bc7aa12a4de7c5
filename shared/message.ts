import type { Channel } from './channel.ts';

export type Priority = 'high' | 'normal' | 'low';

/** What a publisher says, validated. `json` is the text of `data`: one line of JSON, passed on to the letter. */
export interface Draft {
  channel: Channel;
  type: string;
  json: string;
  priority?: Priority;
  source?: string;
  /** An ordering label; nothing is compacted by it. */
  key?: string;
  /** Media type of a binary body, whose `data` is `{"$base64": "..."}`. */
  contentType?: string;
  replyTo?: Channel;
  traceparent?: string;
  meta?: Record<string, string>;
}

/** A message as clients see it. `timestamp` and `expires` are ms of Redis's clock. */
export interface Message extends Omit<Draft, 'json'> {
  id: string;
  timestamp: number;
  expires?: number;
  data: unknown;
}

/** The JSON text around the id, timestamp and expiry that the publish script splices in. */
export function compose(draft: Draft): { head: string; body: string } {
  const { channel, type, json, ...options } = draft;
  const rest = JSON.stringify(options).slice(1, -1);
  return {
    head: `${JSON.stringify({ channel, type }).slice(1, -1)},`,
    body: `${rest === '' ? '' : `${rest},`}"data":${json}}`,
  };
}
