import { createHmac, randomUUID } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import type { Channel, Pattern } from '../../shared/channel.ts';
import { limits } from '../../shared/limits.ts';
import { signToken, type TokenClaims, type TokenKey, type TokenSettings, verifyToken } from '../../shared/token.ts';

const NOW_MS = 1_795_147_200_000;
const NOW_S = NOW_MS / 1000;
/** By so much clocks may differ. */
const SKEW_MS = 5_000;
const SECRET = Buffer.alloc(32, 7);

const ec = await generateKeyPair('ES256', { extractable: true });
const ed = await generateKeyPair('EdDSA', { extractable: true });
const stranger = await generateKeyPair('ES256', { extractable: true });
const publicPem = await exportSPKI(ec.publicKey);
const publicJwk = await exportJWK(ec.publicKey);
const strangerJwk = await exportJWK(stranger.publicKey);

const keys: Record<'hmac' | 'ec' | 'ed', TokenKey> = {
  hmac: { kid: 'hmac', alg: 'HS256', secret: SECRET.toString('base64url') },
  ec: { kid: 'ec', alg: 'ES256', jwk: publicJwk },
  ed: { kid: 'ed', alg: 'EdDSA', jwk: await exportJWK(ed.publicKey) },
};
const settings: TokenSettings = { issuer: 'shop', audience: 'edgewire', keys: Object.values(keys) };

const good: JWTPayload = {
  iss: 'shop',
  aud: 'edgewire',
  sub: 'ada',
  jti: 'j1',
  iat: NOW_S,
  exp: NOW_S + 600,
  channels: ['a'],
};

/** A token as text, with whatever header, payload and signature: what an attacker can write. */
function forge(header: object, payload: object, signature: string | ((input: string) => string) = ''): string {
  const input = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${typeof signature === 'string' ? signature : signature(input)}`;
}

const hmac = (secret: string | Buffer) => (input: string) =>
  createHmac('sha256', secret).update(input).digest('base64url');
/** Rightly signed with the secret that is configured. */
const signed = (payload: object, header: object = {}) =>
  forge({ alg: 'HS256', kid: 'hmac', ...header }, payload, hmac(SECRET));
const byStranger = (header: object) =>
  new SignJWT(good).setProtectedHeader({ alg: 'ES256', ...header }).sign(stranger.privateKey);
const without = (claim: string) => signed({ ...good, [claim]: undefined });

const verify = (token: string, known = settings) => verifyToken(token, known, NOW_MS);

describe('a good token', () => {
  it.each(['HS256', 'ES256', 'EdDSA'] as const)('signed here with %s is admitted, with what it grants', async (alg) => {
    const pair = await generateKeyPair(alg === 'HS256' ? 'ES256' : alg, { extractable: true });
    const key: TokenKey = alg === 'HS256' ? keys.hmac : { kid: 'own', alg, jwk: await exportJWK(pair.privateKey) };
    const claims: TokenClaims = {
      sub: 'ada',
      channels: ['notify:user:ada'] as Channel[],
      patterns: ['room:*'] as Pattern[],
      publish: ['room:1'] as Pattern[],
    };
    const own = { ...settings, keys: [key] };
    const jti = randomUUID();
    const { token, expiresMs } = await signToken(claims, own, { nowMs: NOW_MS, lifeMs: 60_000, jti });
    expect(expiresMs).toBe(NOW_MS + 60_000);
    expect(await verify(token, own)).toEqual({
      kind: 'token',
      principal: 'ada',
      expiresMs: expiresMs + SKEW_MS,
      revocable: { names: [`j:${jti}`, 's:ada'], issuedMs: NOW_MS },
      scopes: [
        { actions: ['read'], patterns: ['notify:user:ada', 'room:*'] },
        { actions: ['publish'], patterns: ['room:1'] },
      ],
    });
  });

  it.each([
    ['ES256', 'ec', ec.privateKey],
    ['EdDSA', 'ed', ed.privateKey],
  ])('signed elsewhere with %s is admitted by its public key', async (alg, kid, key) => {
    const token = await new SignJWT(good).setProtectedHeader({ alg, kid }).sign(key);
    expect(await verify(token)).toMatchObject({ principal: 'ada' });
  });

  it('needs no kid when there is one key, and one when there are several', async () => {
    const token = forge({ alg: 'HS256' }, good, hmac(SECRET));
    expect(await verify(token, { ...settings, keys: [keys.hmac] })).toMatchObject({ principal: 'ada' });
    expect(await verify(token)).toBeUndefined();
  });

  it('may be meant for others as well (RFC 7519 4.1.3)', async () => {
    expect(await verify(signed({ ...good, aud: ['other', 'edgewire'] }))).toMatchObject({ principal: 'ada' });
  });

  it('grants nothing that it does not name', async () => {
    expect((await verify(signed({ ...good, channels: undefined })))?.scopes).toEqual([
      { actions: ['read'], patterns: [] },
      { actions: ['publish'], patterns: [] },
    ]);
  });

  it('is forgiven five seconds of clock difference', async () => {
    expect(await verify(signed({ ...good, exp: NOW_S - 4 }))).toBeDefined();
    expect(await verify(signed({ ...good, nbf: NOW_S + 4 }))).toBeDefined();
  });

  it('says as the end of its grant the first moment at which it is refused', async () => {
    const { expiresMs } = (await verify(signed(good)))!;
    expect(await verifyToken(signed(good), settings, expiresMs! - 1)).toBeDefined();
    expect(await verifyToken(signed(good), settings, expiresMs!)).toBeUndefined();
  });

  it('lives no longer than the limit, whatever was asked for', async () => {
    const asked = { nowMs: NOW_MS, lifeMs: 10 * limits.tokenLifeMsMax, jti: 'j' };
    const { token, expiresMs } = await signToken(
      { sub: 'ada', channels: [], patterns: [], publish: [] },
      settings,
      asked,
    );
    expect(expiresMs).toBe(NOW_MS + limits.tokenLifeMsMax);
    expect(await verify(token)).toBeDefined();
  });

  it('cannot be signed with public keys alone', async () => {
    const claims = { sub: 'ada', channels: [], patterns: [], publish: [] };
    const now = { nowMs: NOW_MS, lifeMs: 60_000, jti: 'j' };
    await expect(signToken(claims, { ...settings, keys: [keys.ec] }, now)).rejects.toThrow(RangeError);
  });
});

const attacks: Record<string, string | Promise<string>> = {
  'alg none': forge({ alg: 'none' }, good),
  'alg none under a known kid': forge({ alg: 'none', kid: 'hmac' }, good),
  'alg None': forge({ alg: 'None', kid: 'hmac' }, good),
  'alg NONE': forge({ alg: 'NONE', kid: 'hmac' }, good),
  'alg nOnE': forge({ alg: 'nOnE', kid: 'ec' }, good),
  'alg none with a signature': forge({ alg: 'none', kid: 'hmac' }, good, hmac(SECRET)),
  'alg empty': forge({ alg: '', kid: 'hmac' }, good, hmac(SECRET)),
  'alg null': forge({ alg: null, kid: 'hmac' }, good, hmac(SECRET)),
  'alg missing': forge({ kid: 'hmac' }, good, hmac(SECRET)),
  'alg in lower case': forge({ alg: 'hs256', kid: 'hmac' }, good, hmac(SECRET)),
  'alg as a list': forge({ alg: ['HS256'], kid: 'hmac' }, good, hmac(SECRET)),
  'no signature': forge({ alg: 'HS256', kid: 'hmac' }, good),
  'another secret': forge({ alg: 'HS256', kid: 'hmac' }, good, hmac('guess')),
  'an empty secret': forge({ alg: 'HS256', kid: 'hmac' }, good, hmac('')),
  'HS256 with the public key (PEM) as secret': forge({ alg: 'HS256', kid: 'ec' }, good, hmac(publicPem)),
  'HS256 with the public key (JWK) as secret': forge(
    { alg: 'HS256', kid: 'ec' },
    good,
    hmac(JSON.stringify(publicJwk)),
  ),
  'HS256 with the public coordinate as secret': forge(
    { alg: 'HS256', kid: 'ec' },
    good,
    hmac(Buffer.from(publicJwk.x!, 'base64url')),
  ),
  'HS256, rightly signed, under the kid of an ES256 key': signed(good, { kid: 'ec' }),
  'HS384 under the kid of an HS256 key': forge({ alg: 'HS384', kid: 'hmac' }, good, (input) =>
    createHmac('sha384', SECRET).update(input).digest('base64url'),
  ),
  'ES256 under the kid of an EdDSA key': new SignJWT(good)
    .setProtectedHeader({ alg: 'ES256', kid: 'ed' })
    .sign(ec.privateKey),
  'ES256 under the kid of an HS256 key': new SignJWT(good)
    .setProtectedHeader({ alg: 'ES256', kid: 'hmac' })
    .sign(ec.privateKey),
  'a zero signature (r = s = 0)': forge({ alg: 'ES256', kid: 'ec' }, good, Buffer.alloc(64).toString('base64url')),
  'an unknown kid': signed(good, { kid: 'nobody' }),
  'no kid among several keys': signed(good, { kid: undefined }),
  'a kid of null': signed(good, { kid: null }),
  'a kid that is a path': signed(good, { kid: '../../dev/null' }),
  'a kid that is a query': signed(good, { kid: "x' UNION SELECT 'secret" }),
  'a kid __proto__': signed(good, { kid: '__proto__' }),
  'a kid constructor': signed(good, { kid: 'constructor' }),
  'a kid that is a number': signed(good, { kid: 0 }),
  'a kid that is a list': signed(good, { kid: ['hmac'] }),
  'a jwk of its own': byStranger({ kid: 'ec', jwk: strangerJwk }),
  'a jwk of its own and no kid': byStranger({ jwk: strangerJwk }),
  'a jku of its own': byStranger({ kid: 'ec', jku: 'https://attacker.example/jwks.json' }),
  'an x5u of its own': byStranger({ kid: 'ec', x5u: 'https://attacker.example/cert.pem' }),
  'an x5c of its own': byStranger({ kid: 'ec', x5c: ['MIIBszCCAVmgAwIBAgIUX'] }),
  'a critical extension': signed(good, { crit: ['http://example/unknown'], 'http://example/unknown': true }),
  'a critical exp': signed(good, { crit: ['exp'], exp: NOW_S + 600 }),
  'an empty crit': signed(good, { crit: [] }),
  'an unencoded payload': signed(good, { b64: false, crit: ['b64'] }),
  'a payload changed after signing': signed(good).replace(
    /\.[^.]+\./,
    `.${Buffer.from(JSON.stringify({ ...good, sub: 'eve' })).toString('base64url')}.`,
  ),
  'exp in the past': signed({ ...good, exp: NOW_S - 60 }),
  'exp too far away': signed({ ...good, exp: NOW_S + 3_660 }),
  'exp too far away, said to be born late': signed({ ...good, iat: NOW_S + 7_200, exp: NOW_S + 7_260 }),
  'a life too long, nearly over': signed({ ...good, iat: NOW_S - 86_400, exp: NOW_S + 600 }),
  'exp as text': signed({ ...good, exp: String(NOW_S + 600) }),
  'exp infinite': signed({ ...good, exp: null }),
  'nbf in the future': signed({ ...good, nbf: NOW_S + 60 }),
  'nbf as text': signed({ ...good, nbf: 'now' }),
  'no sub': without('sub'),
  'no exp': without('exp'),
  'no jti': without('jti'),
  'no iss': without('iss'),
  'no aud': without('aud'),
  'an empty sub': signed({ ...good, sub: '' }),
  'a sub that is a list': signed({ ...good, sub: ['ada'] }),
  'a sub that is an object': signed({ ...good, sub: { length: 1 } }),
  'a sub too long': signed({ ...good, sub: 'a'.repeat(257) }),
  'an empty jti': signed({ ...good, jti: '' }),
  'a jti that is a list': signed({ ...good, jti: ['j1'] }),
  'another iss': signed({ ...good, iss: 'shop.example' }),
  'an iss that is a list': signed({ ...good, iss: ['shop'] }),
  'another aud': signed({ ...good, aud: 'other' }),
  'an aud that only begins like ours': signed({ ...good, aud: 'edgewire2' }),
  'a list of other auds': signed({ ...good, aud: ['other', 'another'] }),
  'an empty list of auds': signed({ ...good, aud: [] }),
  'an aud that is an object': signed({ ...good, aud: { edgewire: true } }),
  'channels that is no list': signed({ ...good, channels: 'a' }),
  'a channel that is none': signed({ ...good, channels: ['a', 'b/c'] }),
  'a pattern among channels': signed({ ...good, channels: ['*'] }),
  'a channel that is no text': signed({ ...good, channels: [['a']] }),
  'a pattern that is none': signed({ ...good, patterns: ['a?'] }),
  'a publish that is none': signed({ ...good, publish: [''] }),
  'too many names': signed({ ...good, channels: Array.from({ length: limits.tokenNamesMax + 1 }, () => 'a') }),
  'too many bytes': signed({ ...good, pad: 'a'.repeat(limits.tokenBytesMax) }),
  'a payload that is no object': forge({ alg: 'HS256', kid: 'hmac' }, ['ada'], hmac(SECRET)),
  'two parts': signed(good).split('.').slice(0, 2).join('.'),
  'five parts': `${signed(good)}.a.b`,
  nothing: '',
  'white space around': ` ${signed(good)}`,
};

describe('a token is refused with', () => {
  it.each(Object.entries(attacks))('%s', async (_, token) => {
    expect(await verify(await token)).toBeUndefined();
  });

  it('nothing but the faults above: what they were made from is admitted', async () => {
    expect(await verify(signed(good))).toMatchObject({ principal: 'ada', expiresMs: NOW_MS + 600_000 + SKEW_MS });
  });

  it.each(['channels', 'patterns', 'publish'])(
    'one name more in %s than the limit, and not with as many',
    async (claim) => {
      const many = (count: number) => signed({ ...good, [claim]: Array.from({ length: count }, (_, i) => `c${i}`) });
      expect(await verify(many(limits.tokenNamesMax))).toBeDefined();
      expect(await verify(many(limits.tokenNamesMax + 1))).toBeUndefined();
    },
  );
});
