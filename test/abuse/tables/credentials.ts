import { byEc, byHmac, jwt, newKey, type World } from '../world.ts';

/** Credentials that admit nobody, anywhere: what it is, and the Authorization that carries it. */
export const credentials: [what: string, authorization: (world: World) => string][] = [
  ['a key that nobody has', () => `Bearer ${newKey('prod', 'nobody')}`],
  ['the right id with a wrong secret', () => `Bearer ${newKey('prod', 'root')}`],
  ['a key cut short by a character', (w) => `Bearer ${w.keys.root.slice(0, -1)}`],
  ['a key with a character too many', (w) => `Bearer ${w.keys.root}x`],
  ['a key in capitals', (w) => `Bearer ${w.keys.root.toUpperCase()}`],
  ['a key for another environment', (w) => `Bearer ${w.keys.root.replace('ew_prod_', 'ew_test_')}`],
  ['a key turned into a development key', (w) => `Bearer ${w.keys.root.replace('ew_prod_', 'ew_dev_')}`],
  ['the hash of a key', (w) => `Bearer ${w.forge.hashOfRoot}`],
  ['an id alone', () => 'Bearer ew_prod_root_'],
  ['half a prefix', () => 'Bearer ew_'],
  ['the id __proto__', () => `Bearer ${newKey('prod', '__proto__')}`],
  ['garbage', () => 'Bearer garbage'],
  ['dots', () => 'Bearer ..'],
  ['10,000 dots', () => `Bearer ${'.'.repeat(10_000)}`],
  ['a token cut before its signature', (w) => `Bearer ${w.token().split('.').slice(0, 2).join('.')}.`],
  ['a token with another signature', (w) => `Bearer ${w.token().replace(/[^.]+$/, 'A'.repeat(43))}`],
  ['a token whose claims were changed', (w) => `Bearer ${changed(w.token())}`],
  ['a token whose header is no JSON', (w) => `Bearer ${w.token().replace(/^[^.]+/, 'e30x')}`],
  ['a token of alg none', () => `Bearer ${jwt({ alg: 'none' }, {}, () => '')}`],
  ['a token of alg NONE, signed', (w) => `Bearer ${jwt({ alg: 'NONE' }, {}, byHmac(w.forge.hs))}`],
  ['a token without alg', (w) => `Bearer ${w.token({}, { alg: undefined })}`],
  [
    'HS256 with the public key as its secret',
    (w) => `Bearer ${jwt({ kid: 'pair' }, {}, byHmac(w.forge.ecPublicPem, { raw: true }))}`,
  ],
  ['HS256 with the secret, under the kid of a pair', (w) => `Bearer ${w.token({}, { kid: 'pair' })}`],
  [
    'ES256 with the pair, under the kid of a secret',
    (w) => `Bearer ${jwt({ alg: 'ES256' }, {}, byEc(w.forge.ecPrivate))}`,
  ],
  ['RS256 by name only', (w) => `Bearer ${w.token({}, { alg: 'RS256' })}`],
  ['HS512 by name only', (w) => `Bearer ${w.token({}, { alg: 'HS512' })}`],
  [
    'an all-zero ES256 signature',
    () => `Bearer ${jwt({ alg: 'ES256', kid: 'pair' }, {}, () => Buffer.alloc(64).toString('base64url'))}`,
  ],
  ['an unknown kid', (w) => `Bearer ${w.token({}, { kid: 'nobody' })}`],
  ['no kid, where there are two keys', (w) => `Bearer ${w.token({}, { kid: undefined })}`],
  ['a kid that is a path', (w) => `Bearer ${w.token({}, { kid: '../../dev/null' })}`],
  ['a kid that is a statement', (w) => `Bearer ${w.token({}, { kid: "' OR 1=1" })}`],
  ['a kid that is an object', (w) => `Bearer ${w.token({}, { kid: { kid: 'shared' } })}`],
  ['the kid __proto__', (w) => `Bearer ${w.token({}, { kid: '__proto__' })}`],
  ['a stranger with his own jwk', (w) => `Bearer ${stranger(w, { jwk: w.forge.strangerJwk })}`],
  ['a stranger with his own jku', (w) => `Bearer ${stranger(w, { jku: `${w.relay}/healthz` })}`],
  ['a stranger with his own x5u', (w) => `Bearer ${stranger(w, { x5u: `${w.relay}/healthz` })}`],
  ['a stranger with his own x5c', (w) => `Bearer ${stranger(w, { x5c: ['AAAA'] })}`],
  ['a critical extension', (w) => `Bearer ${w.token({}, { crit: ['x'], x: 1 })}`],
  ['an unencoded payload (b64)', (w) => `Bearer ${w.token({}, { crit: ['b64'], b64: false })}`],
  ['another issuer', (w) => `Bearer ${w.token({ iss: 'other' })}`],
  ['no issuer', (w) => `Bearer ${w.token({ iss: undefined })}`],
  ['issuers as a list', (w) => `Bearer ${w.token({ iss: ['shop'] })}`],
  ['another audience', (w) => `Bearer ${w.token({ aud: 'other' })}`],
  ['no audience', (w) => `Bearer ${w.token({ aud: undefined })}`],
  ['an audience with a space', (w) => `Bearer ${w.token({ aud: 'edgewire ' })}`],
  ['an expired token', (w) => `Bearer ${w.token({ iat: seconds(-700), exp: seconds(-60) })}`],
  ['no exp', (w) => `Bearer ${w.token({ exp: undefined })}`],
  ['an exp that is text', (w) => `Bearer ${w.token({ exp: String(seconds(600)) })}`],
  ['an exp of 1e400', (w) => `Bearer ${w.token({ exp: 1e300 })}`],
  ['an exp in a day', (w) => `Bearer ${w.token({ exp: seconds(86_400) })}`],
  ['a life longer than an hour, nearly over', (w) => `Bearer ${w.token({ iat: seconds(-7200), exp: seconds(600) })}`],
  ['not yet valid', (w) => `Bearer ${w.token({ nbf: seconds(300) })}`],
  ['an nbf that is text', (w) => `Bearer ${w.token({ nbf: 'soon' })}`],
  ['no subject', (w) => `Bearer ${w.token({ sub: undefined })}`],
  ['an empty subject', (w) => `Bearer ${w.token({ sub: '' })}`],
  ['a subject that is a list', (w) => `Bearer ${w.token({ sub: ['ada'] })}`],
  ['no jti', (w) => `Bearer ${w.token({ jti: undefined })}`],
  ['a channel outside the grammar', (w) => `Bearer ${w.token({ channels: ['shop:1', 'a b'] })}`],
  ['a channel that is a pattern', (w) => `Bearer ${w.token({ channels: ['*'] })}`],
  ['channels that are no list', (w) => `Bearer ${w.token({ channels: 'shop:1' })}`],
  ['a pattern of four stars', (w) => `Bearer ${w.token({ patterns: ['*:*:*:*'] })}`],
  ['101 channels', (w) => `Bearer ${w.token({ channels: Array(101).fill('shop:1') })}`],
  ['a token over 8 KiB', (w) => `Bearer ${w.token({ padding: 'x'.repeat(7000) })}`],
];

/** Authorization headers that are not of the form. */
export const headers: [what: string, authorization: (world: World) => string][] = [
  ['Basic', (w) => `Basic ${Buffer.from(`root:${w.keys.root}`).toString('base64')}`],
  ['a key without Bearer', (w) => w.keys.root],
  ['Bearer without anything', () => 'Bearer'],
  ['Bearer and two words', () => 'Bearer a b'],
  ['two keys', (w) => `Bearer ${w.keys.root}, Bearer ${w.keys.root}`],
  ['Token', (w) => `Token ${w.keys.root}`],
  ['Bearer with a tab', (w) => `Bearer\t${w.keys.root}`],
  ['Bearer with a colon', (w) => `Bearer: ${w.keys.root}`],
  ['Digest', () => 'Digest username="root", nonce="x"'],
  ['letters beyond ASCII', () => 'Bearer \xe9\xff'],
];

export function seconds(from: number): number {
  return Math.floor(Date.now() / 1000) + from;
}

function changed(token: string): string {
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const more = Buffer.from(JSON.stringify({ ...claims, patterns: ['*'], publish: ['*'] })).toString('base64url');
  return `${header}.${more}.${signature}`;
}

function stranger(world: World, header: object): string {
  return jwt({ alg: 'ES256', kid: 'pair', ...header }, {}, byEc(world.forge.strangerPrivate));
}
