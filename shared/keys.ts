import type { Channel } from './channel.ts';

/** Every Redis name of one deployment. All share the hash tag `{ew:<namespace>}`, so they live in one Cluster slot. */
export interface Keys {
  /** HASH: `t` newest position, `e` epoch, `b` where the epoch began, `r` server identity, `c` when that was last checked, `floor`, `f:<epoch>` forks, `p` = `SPUBLISH` where relays listen by sharded pub/sub. */
  readonly clock: string;
  /** HASH channel -> `<position>[ n|p]`: its newest message, not kept (`n`) or purged (`p`); and `!` -> epoch, the marker. */
  readonly last: string;
  /** ZSET channel by the milliseconds of its newest message. */
  readonly index: string;
  /** STRING: which relay may drop long-quiet channels now. */
  readonly lease: string;
  /** STREAM of one channel's kept messages: `d` the JSON line, `p` previous position, `e` epoch, `x` expiry in ms. */
  stream(channel: Channel): string;
  /** STRING: the answer once given to an Idempotency-Key; `digest` names principal and key. */
  idempotency(digest: string): string;
  /** STRING: up to when one principal has used its publish rate, microseconds. */
  limiter(digest: string): string;
  /** HASH: name -> `<before ms> <until ms>`; see `shared/revocation.ts`. */
  readonly revoked: string;
  /** What every name begins with; the publish scripts build the pub/sub names from it. */
  readonly tag: string;
  /** Pub/sub names. A message goes to its channel's, its root's and the all-name. */
  channelName(channel: Channel): string;
  rootName(root: string): string;
  readonly allName: string;
  /** Where every relay hears what concerns them all: revocations. */
  readonly controlName: string;
  /** Where one relay hears its own probes. */
  relayName(relayId: string): string;
}

/** A namespace: `[a-z0-9_-]{1,32}`. Deployments with different namespaces share a Redis without meeting. */
export function parseNamespace(text: string): string | undefined {
  return /^[a-z0-9_-]{1,32}$/.test(text) ? text : undefined;
}

/** `namespace` must have passed `parseNamespace`. */
export function keysOf(namespace: string): Keys {
  const tag = `{ew:${namespace}}:`;
  return {
    tag,
    clock: `${tag}clock`,
    last: `${tag}last`,
    index: `${tag}index`,
    lease: `${tag}lease`,
    stream: (channel) => `${tag}s:${channel}`,
    idempotency: (digest) => `${tag}i:${digest}`,
    limiter: (digest) => `${tag}l:${digest}`,
    revoked: `${tag}revoked`,
    channelName: (channel) => `${tag}c:${channel}`,
    rootName: (root) => `${tag}r:${root}`,
    allName: `${tag}all`,
    controlName: `${tag}control`,
    relayName: (relayId) => `${tag}x:${relayId}`,
  };
}
