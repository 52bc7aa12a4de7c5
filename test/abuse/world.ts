import { createHash, createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { Action } from '../../shared/grant.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type Stack, type StackOptions, startStack } from '../helpers/stack.ts';

/** A deployment with several keys of little power, two ways to sign tokens, and little that is open to everyone. */
export interface World {
  stack: Stack;
  edge: string;
  relay: string;
  redis: Direct;
  keys: Record<KeyName, string>;
  /** Signed as configured; `header` and `claims` stand over the right ones, undefined removes. */
  token(claims?: object, header?: object): string;
  pairToken(claims?: object): string;
  forge: Forgery;
  /** The newest ids of `shop:1`, oldest first. */
  ids: string[];
  /** Everything in Redis, except when a relay last looked at the server's identity. */
  state(): Promise<Record<string, string>>;
  stop(): Promise<void>;
}

const scopesOf = {
  /** May do everything. */
  root: [{ actions: ['publish', 'read', 'mint', 'admin'], patterns: ['*'] }],
  publisher: [{ actions: ['publish'], patterns: ['shop:*', 'plain'] }],
  reader: [{ actions: ['read'], patterns: ['shop:*'] }],
  /** May hand out more reading than publishing, and more names than it may read itself. */
  minter: [
    { actions: ['mint'], patterns: ['shop:*', 'other:*'] },
    { actions: ['read'], patterns: ['shop:*'] },
    { actions: ['publish'], patterns: ['shop:1'] },
  ],
} as const satisfies Record<string, { actions: Action[]; patterns: string[] }[]>;

type KeyName = keyof typeof scopesOf | 'dev';

export const issuer = 'shop';
export const audience = 'edgewire';
export const origin = 'https://app.example';

/** A key that nobody knows; with `id` of a known one, a wrong secret for it. */
export function newKey(env: string, id: string): string {
  return `ew_${env}_${id}_${randomBytes(32).toString('base64url')}`;
}

export interface Forgery {
  hs: string;
  ecPublicPem: string;
  ecPrivate: KeyObject;
  strangerPrivate: KeyObject;
  strangerJwk: object;
  hashOfRoot: string;
}

export async function startWorld(options: StackOptions = {}): Promise<World> {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const hs = randomBytes(32).toString('base64url');
  const keys = { dev: newKey('dev', 'local') } as Record<KeyName, string>;
  for (const name of Object.keys(scopesOf) as (keyof typeof scopesOf)[]) keys[name] = newKey('prod', name);
  const shared = {
    API_KEYS: JSON.stringify(Object.entries(keys).map(([name, key]) => apiKey(name as KeyName, key))),
    TOKENS: JSON.stringify({
      issuer,
      audience,
      keys: [
        { kid: 'shared', alg: 'HS256', secret: hs },
        { kid: 'pair', alg: 'ES256', jwk: ec.publicKey.export({ format: 'jwk' }) },
      ],
    }),
    ALLOWED_ORIGINS: origin,
    ANONYMOUS_READ: 'open:*',
  };
  const stack = await startStack({
    ...options,
    relayEnv: { HEARTBEAT_MS: '60000', ...shared, ...options.relayEnv },
    edgeVars: { ...shared, ...options.edgeVars },
  });
  const redis = await connectDirect(stack.redis.url);
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const forge: Forgery = {
    hs,
    ecPublicPem: ec.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    ecPrivate: ec.privateKey,
    strangerPrivate: stranger.privateKey,
    strangerJwk: stranger.publicKey.export({ format: 'jwk' }),
    hashOfRoot: createHash('sha256').update(keys.root).digest('hex'),
  };
  return {
    stack,
    edge: stack.edgeUrl,
    relay: stack.relayUrl,
    redis,
    keys,
    token: (claims, header) => jwt({ ...header }, { ...claims }, byHmac(hs)),
    pairToken: (claims) => jwt({ alg: 'ES256', kid: 'pair' }, { ...claims }, byEc(forge.ecPrivate)),
    forge,
    ids: [],
    state: () => stateOf(redis),
    async stop() {
      redis.close();
      await stack.stop();
    },
  };
}

function apiKey(name: KeyName, key: string) {
  const id = name === 'dev' ? 'local' : name;
  const sha256 = createHash('sha256').update(key).digest('hex');
  return { id, principal: name, sha256, scopes: name === 'dev' ? scopesOf.root : scopesOf[name] };
}

/** A token as text, with whatever header and claims, over good ones; undefined removes one. */
export function jwt(header: object, claims: object, signature: (input: string) => string): string {
  const now = Math.floor(Date.now() / 1000);
  const good = { iss: issuer, aud: audience, sub: 'ada', jti: 'j', iat: now, exp: now + 600, channels: ['shop:1'] };
  const parts = [
    { alg: 'HS256', kid: 'shared', typ: 'JWT', ...header },
    { ...good, ...claims },
  ];
  const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${signature(input)}`;
}

/** As RFC 7518 has it: the configured secret is base64url. A PEM or other text as it stands is `raw`. */
export function byHmac(secret: string, { raw = false } = {}) {
  const bytes = raw ? Buffer.from(secret) : Buffer.from(secret, 'base64url');
  return (input: string) => createHmac('sha256', bytes).update(input).digest('base64url');
}

export function byEc(key: KeyObject) {
  return (input: string) =>
    sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
}

/** Some history, so that what must stay is there: kept, not kept, an Idempotency-Key's record, a second channel. */
export async function furnish(world: World): Promise<void> {
  for (let i = 0; i < 5; i++) world.ids.push(await world.redis.publish('shop:1', i));
  await world.redis.publish('open:1', 'for everyone');
  await world.redis.publish('shop:2', 'sent only', { length: 0 });
  await world.redis.call('SET', [world.redis.keys.idempotency('0'.repeat(64)), 'record', 'PX', '86400000']);
}

/**
 * `dump`, with the moment at which each key expires, and with the clock field by field: `c` is left out, which probes
 * write and which says only when the server's identity was last looked at. Any publish moves `t`. Records of the edge's own
 * tries are left out too: they are gone after a minute, whatever is asked meanwhile.
 */
async function stateOf(redis: Direct): Promise<Record<string, string>> {
  const state = await redis.dump();
  for (const name of Object.keys(state)) if (/:i:[0-9a-f]{8}-/.test(name)) delete state[name];
  for (const name of Object.keys(state)) state[name] += ` ${await redis.call('PEXPIRETIME', [name])}`;
  const clock = (await redis.call('HGETALL', [redis.keys.clock])) as string[];
  delete state[redis.keys.clock];
  for (let i = 0; i < clock.length; i += 2) {
    if (clock[i] !== 'c') state[`${redis.keys.clock} ${clock[i]}`] = clock[i + 1]!;
  }
  return state;
}
