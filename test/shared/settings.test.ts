import { describe, expect, it } from 'vitest';
import { Faults, readSettings } from '../../shared/settings.ts';

const key = {
  id: 'k1',
  principal: 'shop',
  sha256: 'a'.repeat(64),
  scopes: [{ actions: ['publish'], patterns: ['*'] }],
};
const signing = { kid: 's1', alg: 'HS256', secret: 'S'.repeat(43) };
const tokens = { issuer: 'shop', audience: 'edgewire', keys: [signing] };

function faultsOf(env: Record<string, string>): string[] {
  const faults = new Faults();
  readSettings(env, faults);
  return faults.list;
}

describe('settings', () => {
  it('have a default for everything', () => {
    const faults = new Faults();
    const settings = readSettings({ API_KEYS: '' }, faults);
    expect(faults.list).toEqual([]);
    expect(settings).toMatchObject({ apiKeys: [], tokens: undefined, anonymousRead: [] });
    expect(settings.keys.clock).toBe('{ew:default}:clock');
    expect(settings.allowedOrigins.size).toBe(0);
  });

  it('are read whole', () => {
    const env = {
      NAMESPACE: 'shop-1',
      RETENTION: 'a=none',
      API_KEYS: JSON.stringify([key]),
      TOKENS: JSON.stringify(tokens),
      ALLOWED_ORIGINS: 'https://app.example, http://localhost:3000',
      ANONYMOUS_READ: 'public:*,status',
    };
    expect(faultsOf(env)).toEqual([]);
    const settings = readSettings(env, new Faults());
    expect(settings.keys.clock).toBe('{ew:shop-1}:clock');
    expect(settings.apiKeys).toEqual([key]);
    expect(settings.tokens).toEqual(tokens);
    expect([...settings.allowedOrigins]).toEqual(['https://app.example', 'http://localhost:3000']);
    expect(settings.anonymousRead).toEqual(['public:*', 'status']);
    expect(settings.retention[0]).toEqual({ pattern: 'a', length: 0, keepMs: 0 });
  });

  it('tell every fault at once, and whose they are', () => {
    const faults = new Faults();
    const wrong = {
      NAMESPACE: 'Shop',
      RETENTION: 'a=b',
      API_KEYS: '{}',
      TOKENS: '[',
      ALLOWED_ORIGINS: '*',
      ANONYMOUS_READ: 'a?',
    };
    readSettings(wrong, faults);
    expect(faults.list.map((fault) => fault.split(':')[0])).toEqual(Object.keys(wrong));
    const lines = Object.keys(wrong).map((name) => `\\n {2}- ${name}: [^\\n]+`);
    expect(() => faults.settle('The relay')).toThrow(new RegExp(`^The relay cannot start:${lines.join('')}$`));
  });

  it.each(['a,b', 'A', '{x}', '', ' ', 'a b', 'x'.repeat(33), 'a\n', 'é'].filter((name) => name !== ''))(
    'refuse the namespace %j',
    (name) => {
      expect(faultsOf({ NAMESPACE: name })).toHaveLength(1);
    },
  );

  it.each([
    '*',
    'null',
    'https://app.example/',
    'https://app.example/path',
    'app.example',
    'https://*.example',
    'HTTPS://App.Example',
    'https://a:443',
  ])('refuse the origin %s, which no browser sends', (origin) => {
    expect(faultsOf({ ALLOWED_ORIGINS: `https://ok.example,${origin}` })).toHaveLength(1);
  });

  it.each([
    ['HS256 without a secret', { kid: 'x', alg: 'HS256' }],
    ['HS256 with a public key', { kid: 'x', alg: 'HS256', jwk: { kty: 'EC' } }],
    ['HS256 with both', { ...signing, jwk: { kty: 'EC' } }],
    ['HS256 with a secret too short to be safe', { ...signing, secret: 'S'.repeat(42) }],
    ['ES256 with a secret', { kid: 'x', alg: 'ES256', secret: 'S'.repeat(43) }],
    ['ES256 without a key', { kid: 'x', alg: 'ES256' }],
    ['EdDSA with a symmetric JWK', { kid: 'x', alg: 'EdDSA', jwk: { kty: 'oct', k: 'S'.repeat(43) } }],
    ['an algorithm that is none', { ...signing, alg: 'none' }],
    ['an algorithm that is not ours', { ...signing, alg: 'RS256' }],
    ['a key without a name', { ...signing, kid: '' }],
    ['an unknown field', { ...signing, use: 'sig' }],
  ])('refuse the token key: %s', (_, wrong) => {
    expect(faultsOf({ TOKENS: JSON.stringify({ ...tokens, keys: [wrong] }) })).toHaveLength(1);
  });

  it.each([
    ['a key instead of its hash', { ...key, sha256: `ew_live_k1_${'s'.repeat(43)}` }],
    ['a hash in upper case', { ...key, sha256: 'A'.repeat(64) }],
    ['an unknown action', { ...key, scopes: [{ actions: ['everything'], patterns: ['*'] }] }],
    ['a pattern that is none', { ...key, scopes: [{ actions: ['read'], patterns: ['a?'] }] }],
    ['no principal', { ...key, principal: '' }],
    ['an id with an underscore, which would end it', { ...key, id: 'k_1' }],
    ['an unknown field', { ...key, note: 'x' }],
  ])('refuse the API key: %s', (_, wrong) => {
    expect(faultsOf({ API_KEYS: JSON.stringify([key, wrong]) })).toHaveLength(1);
  });

  it('never repeat a value that may be a secret, wherever the fault is', () => {
    const secret = 'hunter2hunter2hunter2hunter2hunter2hunter2hunter2';
    const wrongs = [
      { API_KEYS: secret },
      { API_KEYS: `["${secret}"]` },
      { API_KEYS: JSON.stringify([{ ...key, sha256: secret }]) },
      { API_KEYS: JSON.stringify([{ ...key, [secret]: 1 }]) },
      { API_KEYS: JSON.stringify([{ ...key, scopes: [{ actions: [secret], patterns: [secret] }] }]) },
      { TOKENS: secret },
      { TOKENS: `{"${secret}` },
      { TOKENS: JSON.stringify({ ...tokens, keys: secret }) },
      { TOKENS: JSON.stringify({ ...tokens, keys: [{ ...signing, secret: `${secret}!` }] }) },
      { TOKENS: JSON.stringify({ ...tokens, keys: [{ ...signing, alg: secret, secret }] }) },
      { TOKENS: JSON.stringify({ ...tokens, keys: [{ ...signing, [secret]: secret }] }) },
      { NAMESPACE: secret },
      { ALLOWED_ORIGINS: secret },
      { ANONYMOUS_READ: `${secret}?` },
    ];
    for (const env of wrongs) {
      const [fault, ...more] = faultsOf(env);
      expect(more).toEqual([]);
      expect(fault).toMatch(/^[A-Z_]+: \S/);
      expect(fault).not.toContain(secret.slice(0, 7));
    }
  });
});
