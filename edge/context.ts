import type { Context, Handler as HonoHandler, MiddlewareHandler } from 'hono';
import { type Channel, channelRule, parseChannel } from '../shared/channel.ts';
import { Refusal } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import type { Redis } from '../shared/redis.ts';
import type { Settings } from '../shared/settings.ts';
import type { Degraded } from './config.ts';

/** What the edge is given from outside, once per environment: settings, Redis, clock, randomness, log. */
export interface Edge {
  settings: Settings;
  redis: Redis;
  degraded: Degraded;
  nowMs(): number;
  uuid(): string;
  /** `[a-z0-9]{10}`, drawn anew for each run of a publishing script. */
  seed(): string;
  /** Resolves after about so long: half of it to one and a half. */
  pause(ms: number): Promise<void>;
  /** Takes what may be read by operators: no bodies, no credentials, no query strings. */
  log(entry: Record<string, unknown>): void;
}

/** What middleware leaves for the routes. */
export interface Vars {
  Variables: {
    requestId: string;
    /** What the presented credential allows; set for everything under `/v1`. */
    grant: Grant;
  };
}

export type EdgeContext = Context<Vars>;
export type Handler = HonoHandler<Vars>;
export type Middleware = MiddlewareHandler<Vars>;

/** The channel named in the path. Percent-encoding that cannot be decoded reaches us as it is, so it is refused here too. */
export function channelIn(c: EdgeContext): Channel {
  const channel = parseChannel(c.req.param('channel') ?? '');
  if (!channel) throw new Refusal('channel_invalid', channelRule);
  return channel;
}
