import { describe, expect, it } from 'vitest';
import type { Channel, Pattern } from '../../shared/channel.ts';
import { Refusal } from '../../shared/errors.ts';
import { type Action, allows, demand, type Grant } from '../../shared/grant.ts';

const grant: Grant = {
  kind: 'key',
  principal: 'shop',
  scopes: [
    { actions: ['publish', 'read'], patterns: ['orders:*', 'status'] as Pattern[] },
    { actions: ['read'], patterns: ['public:*'] as Pattern[] },
    { actions: ['admin'], patterns: [] },
    { actions: [], patterns: ['*'] as Pattern[] },
  ],
};

function refusal(act: () => void): Refusal {
  try {
    act();
  } catch (error) {
    if (error instanceof Refusal) return error;
  }
  throw new Error('nothing was refused');
}

describe('a grant', () => {
  it.each([
    ['publish', 'orders:1', true],
    ['publish', 'orders:*', true],
    ['publish', 'orders:1:*', true],
    ['publish', 'status', true],
    ['read', 'public:x', true],
    ['publish', 'public:x', false],
    ['publish', 'orders', false],
    ['publish', 'status:x', false],
    ['publish', '*', false],
    ['publish', 'orders*', false],
    ['admin', 'orders:1', false],
    ['mint', 'orders:1', false],
  ] as const)('to %s on %s: %s', (action, name, expected) => {
    expect(allows(grant, action, name as Channel | Pattern)).toBe(expected);
  });

  it('adds nothing up: two scopes that cover a pattern only together do not grant it', () => {
    const halves = ['a:*', 'b:*'].map((p) => ({ actions: ['read'] as Action[], patterns: [p as Pattern] }));
    expect(allows({ ...grant, scopes: halves }, 'read', '*' as Pattern)).toBe(false);
  });

  it('is silent when everything is granted, and when nothing is asked', () => {
    demand(grant, 'publish', ['orders:1', 'status'] as Channel[]);
    demand(grant, 'mint', []);
  });

  it('refuses the whole for one name, and says which', () => {
    const no = refusal(() => demand(grant, 'publish', ['orders:1', 'secret'] as Channel[]));
    expect([no.code, no.status]).toEqual(['not_granted', 403]);
    expect(no.message).toContain('publish secret');
    expect(no.message).not.toContain('orders:1');
  });

  it('names five of many', () => {
    const names = Array.from({ length: 100 }, (_, i) => `n${i}`) as Channel[];
    expect(refusal(() => demand(grant, 'read', names)).message).toMatch(/read n0, n1, n2, n3, n4 and 95 more\./);
  });

  it('asks the anonymous for a credential instead', () => {
    const no = refusal(() => demand({ ...grant, kind: 'anonymous' }, 'read', ['secret'] as Channel[]));
    expect([no.code, no.status]).toEqual(['credential_missing', 401]);
    expect(no.headers['WWW-Authenticate']).toBe('Bearer realm="edgewire"');
  });
});
