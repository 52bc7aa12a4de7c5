import { describe, expect, it } from 'vitest';
import {
  type ApiKey,
  equalInConstantTime,
  isDevelopmentKey,
  looksLikeApiKey,
  sha256Hex,
  verifyApiKey,
} from '../../shared/apikey.ts';
import type { Pattern } from '../../shared/channel.ts';
import { authenticate, bearerOf } from '../../shared/credentials.ts';
import { Refusal } from '../../shared/errors.ts';
import { Faults, readSettings } from '../../shared/settings.ts';

const SECRET = 'Zk3_-q'.repeat(8);
const scopes = [{ actions: ['publish'] as const, patterns: ['*' as Pattern] }];
const entry = async (id: string, key: string): Promise<ApiKey> => ({
  id,
  principal: 'shop',
  sha256: await sha256Hex(key),
  scopes,
});
const old = `ew_live_2025_${SECRET}`;
const young = `ew_live_2026_${SECRET}x`;
const dev = `ew_dev_local_${SECRET}`;
const known = [await entry('2025', old), await entry('2026', young), await entry('local', dev)];

describe('an API key', () => {
  it('is known by its hash alone, and keeps its principal over a rotation', async () => {
    for (const [key, id] of [
      [old, '2025'],
      [young, '2026'],
    ] as const) {
      const revocable = { names: [`k:${id}`, ''], issuedMs: 0 };
      expect(await verifyApiKey(key, known)).toEqual({ kind: 'key', principal: 'shop', scopes, revocable });
    }
    expect(await verifyApiKey(old, known.slice(1))).toBeUndefined();
  });

  it.each([
    ['a secret that differs at its end', `${old.slice(0, -1)}_`],
    ['a secret cut short', old.slice(0, -1)],
    ['a secret with more behind', `${old}a`],
    ['the secret of another id', `ew_live_2026_${SECRET}`],
    ['another environment', `ew_test_2025_${SECRET}`],
    ['an unknown id', `ew_live_2024_${SECRET}`],
    ['an id that every object has', `ew_live_constructor_${SECRET}`],
    ['no secret', 'ew_live_2025_'],
    ['nothing', ''],
    ['white space', `${old}\n`],
    ['other case', old.toUpperCase()],
    ['the hash itself', known[0]!.sha256],
    ['a key of a megabyte', `ew_live_2025_${'a'.repeat(1 << 20)}`],
  ])('is not %s', async (_, key) => {
    expect(await verifyApiKey(key, known)).toBeUndefined();
  });

  it('whose hash is right but whose form is not is refused too', async () => {
    const odd = 'ew_live_short';
    expect(await verifyApiKey(odd, [await entry('short', odd)])).toBeUndefined();
  });

  it('is told from a token by how it begins', () => {
    expect([old, dev, 'eyJhbGciOiJIUzI1NiJ9.e30.x', ''].map(looksLikeApiKey)).toEqual([true, true, false, false]);
    expect([old, dev, `ew_device_1_${SECRET}`].map(isDevelopmentKey)).toEqual([false, true, false]);
  });
});

describe('authenticate', () => {
  const settings = { ...readSettings({ ANONYMOUS_READ: 'public:*' }, new Faults()), apiKeys: known };
  const at = { nowMs: 0, loopback: false };

  it('gives those who present nothing what is open to everyone', async () => {
    expect(await authenticate(undefined, settings, at)).toMatchObject({
      kind: 'anonymous',
      scopes: [{ actions: ['read'], patterns: ['public:*'] }],
    });
  });

  it('takes a development key only towards loopback', async () => {
    expect(await authenticate(dev, settings, { ...at, loopback: true })).toMatchObject({ principal: 'shop' });
    await expect(authenticate(dev, settings, at)).rejects.toMatchObject({ code: 'credential_invalid' });
    expect(await authenticate(old, settings, at)).toMatchObject({ principal: 'shop' });
  });

  it.each(['', `${old}x`, 'nonsense', 'eyJhbGciOiJub25lIn0.e30.'])(
    'never takes what is presented and wrong for nothing: %j',
    async (credential) => {
      await expect(authenticate(credential, settings, at)).rejects.toMatchObject({
        code: 'credential_invalid',
        status: 401,
      });
    },
  );
});

describe('bearerOf', () => {
  it.each([
    ['Bearer abc', 'abc'],
    ['bearer   abc', 'abc'],
    [undefined, undefined],
    [null, undefined],
  ])('reads %j', (header, credential) => {
    expect(bearerOf(header)).toBe(credential);
  });

  it.each(['', 'Basic abc', 'Bearer', 'Bearer ', 'Bearer a b', 'abc', 'Bearer \u00e9', 'Bearer a\n'])(
    'refuses %j',
    (header) => {
      expect(() => bearerOf(header)).toThrow(Refusal);
    },
  );
});

describe('equalInConstantTime', () => {
  it.each([
    ['', '', true],
    ['a', 'a', true],
    ['a', 'b', false],
    ['a', '', false],
    ['', 'a', false],
    ['a', 'aa', false],
    ['abab', 'ab', false],
    ['\u0000', '', false],
  ])('%j and %j: %s', (a, b, expected) => {
    expect(equalInConstantTime(a, b)).toBe(expected);
  });
});
