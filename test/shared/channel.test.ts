import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Channel,
  contains,
  decodeSegment,
  encodeSegment,
  matches,
  type Pattern,
  parseChannel,
  parsePattern,
  patternRoot,
  rootOf,
} from '../../shared/channel.ts';

const seeded = { seed: 20_261_120, numRuns: 2_000 };
const segments = (count: number, length = 1) => Array.from({ length: count }, () => 'a'.repeat(length)).join(':');

const channels = [
  'a',
  'A9',
  '-',
  '_',
  '~',
  '~~',
  '...',
  '.a',
  'a.',
  'notify:user:42',
  'user.~40example.com',
  '__proto__',
  'constructor:prototype',
  '0:0:0',
  'a'.repeat(64),
  segments(16),
  `${segments(15, 16)}`,
  `${segments(3, 64)}:${'a'.repeat(60)}`, // 255 characters
];

const neither = {
  nothing: '',
  'a colon alone': ':',
  'an empty first segment': ':a',
  'an empty last segment': 'a:',
  'an empty segment between': 'a::b',
  'a dot segment': 'a:.',
  'a dot alone': '.',
  'a dot-dot segment': '..:a',
  'a dot-dot segment inside': 'a:..:b',
  'a segment of 65': 'a'.repeat(65),
  '17 segments': segments(17),
  '256 characters': `${segments(3, 64)}:${'a'.repeat(61)}`,
  'a space': 'a b',
  'a leading space': ' a',
  'a trailing line feed': 'a\n',
  'a line feed inside': 'a\nid: 1',
  'a carriage return': 'a\r',
  'CR LF': 'a\r\ndata: x',
  NUL: 'a\0b',
  'a tab': 'a\tb',
  DEL: 'a\x7f',
  NEL: 'a\u0085b',
  'a line separator': 'a\u2028b',
  'a paragraph separator': 'a\u2029b',
  'a byte order mark': '\ufeffa',
  'a zero-width joiner': 'a\u200db',
  'a right-to-left override': 'a\u202eb',
  'an umlaut': 'käse',
  'a combining accent': 'e\u0301',
  'a full-width letter': '\uff41',
  'an Arabic digit': '\u0661',
  'the Kelvin sign': '\u212a',
  'an emoji': '🚀',
  'a lone surrogate': '\ud800',
  'a hash tag': '{ew:other}:clock',
  'an opening brace': 'a{',
  'a percent escape': 'a%2Fb',
  'a slash': 'a/b',
  'a backslash': 'a\\b',
  'a question mark': 'a?',
  'a class': '[ab]',
  'a plus': 'a+b',
  'a comma': 'a,b',
  'an at sign': 'a@b',
  'a quote': 'a"b',
  'a hash': '#a',
  'a marker': '!',
};

describe('parseChannel', () => {
  it.each(channels)('takes %s as it stands', (name) => {
    expect(parseChannel(name)).toBe(name);
    expect(parsePattern(name)).toBe(name);
  });

  it.each(Object.entries(neither))('refuses %s, as a channel and as a pattern', (_, name) => {
    expect(parseChannel(name)).toBeUndefined();
    expect(parsePattern(name)).toBeUndefined();
    expect(parsePattern(`${name}:*`)).toBeUndefined();
  });

  it('knows no stars', () => {
    expect(parseChannel('a:*')).toBeUndefined();
  });

  it('takes nothing that its grammar, written once more, does not allow', () => {
    const unit = fc.constantFrom('a', 'Z', '0', '_', '.', '~', '-', ':', '*', '\n', '\0', '{', 'é', '\u2028');
    const grammar = /^(?!\.{1,2}(:|$))[\w.~-]{1,64}(:(?!\.{1,2}(:|$))[\w.~-]{1,64}){0,15}$(?!\n)/;
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (name) => {
        expect(parseChannel(name) !== undefined).toBe(grammar.test(name));
      }),
      seeded,
    );
  });
});

describe('parsePattern', () => {
  it.each(['*', 'user:*', '*:a', 'a*b', '**', '***', '*:*:*', 'user:4*:inbox'])('takes %s', (pattern) => {
    expect(parsePattern(pattern)).toBe(pattern);
  });

  it.each(['****', '*:*:*:*', '*?', '[a]*', '*:', ':*', `${'a'.repeat(64)}*`])('refuses %s', (pattern) => {
    expect(parsePattern(pattern)).toBeUndefined();
  });

  it.each([
    ['user:*', 'user'],
    ['user', 'user'],
    ['user:4*:*', 'user'],
    ['*', undefined],
    ['us*:a', undefined],
    ['user*', undefined],
  ])('gives %s the root %s', (pattern, root) => {
    expect(patternRoot(pattern as Pattern)).toBe(root);
  });

  it('has no root that a channel it matches does not share', () => {
    fc.assert(
      fc.property(anyPattern, anyName, (pattern, name) => {
        const root = patternRoot(pattern);
        fc.pre(root !== undefined && matches(pattern, name));
        expect(rootOf(name)).toBe(root);
      }),
      seeded,
    );
  });
});

/** The definition, without a thought for speed. */
function naive(pattern: string, name: string): boolean {
  if (pattern === '') return name === '';
  if (pattern[0] !== '*') return pattern[0] === name[0] && naive(pattern.slice(1), name.slice(1));
  return Array.from({ length: name.length + 1 }, (_, i) => i).some((i) => naive(pattern.slice(1), name.slice(i)));
}

/** Few letters, so that they meet. */
const anyName = fc
  .string({ unit: fc.constantFrom('a', 'b', ':'), minLength: 1, maxLength: 10 })
  .filter((text) => parseChannel(text) !== undefined) as fc.Arbitrary<Channel>;
const anyPattern = fc
  .string({ unit: fc.constantFrom('a', 'b', ':', '*'), minLength: 1, maxLength: 7 })
  .filter((text) => parsePattern(text) !== undefined) as fc.Arbitrary<Pattern>;

describe('matches', () => {
  it.each([
    ['*', 'a', true],
    ['*', 'a:b:c', true],
    ['user:*', 'user:42', true],
    ['user:*', 'user:42:inbox', true],
    ['user:*', 'user', false],
    ['user:*', 'users:42', false],
    ['a', 'a', true],
    ['a', 'A', false],
    ['a*b*c', 'abbbc', true],
    ['a*b*c', 'ac', false],
    ['*__proto__*', '__proto__', true],
    ['a.c', 'abc', false],
  ] as const)('%s on %s: %s', (pattern, name, expected) => {
    expect(matches(pattern as Pattern, name)).toBe(expected);
  });

  it('does what the definition says', () => {
    fc.assert(
      fc.property(anyPattern, anyName, (pattern, name) => {
        expect(matches(pattern, name)).toBe(naive(pattern, name));
      }),
      { ...seeded, numRuns: 20_000 },
    );
  });

  it.each([
    ['*'.padEnd(60, 'a').concat('b'), 'a'.repeat(255)],
    ['*a*a*b', 'a'.repeat(255)],
    [`*${'a'.repeat(63)}:${'a'.repeat(63)}b`, `${segments(3, 64)}:${'a'.repeat(60)}`],
    [`*${'ab'.repeat(30)}*${'ab'.repeat(30)}*c`, 'ab'.repeat(127)],
  ])('reads no more than pattern times name, whatever is tried: %#', (pattern, name) => {
    let reads = 0;
    const counted = new Proxy(Object(name), {
      get(target, key) {
        if (key !== 'length') reads++;
        return Reflect.get(target, key, target);
      },
    });
    expect(matches(pattern as Pattern, counted)).toBe(false);
    expect(reads).toBeGreaterThanOrEqual(name.length);
    expect(reads).toBeLessThan(pattern.length * name.length);
  });
});

describe('contains', () => {
  it('grants only patterns all of whose channels it matches', () => {
    fc.assert(
      fc.property(anyPattern, anyPattern, fc.array(anyName, { minLength: 20 }), (granted, asked, names) => {
        fc.pre(contains(granted, asked));
        for (const name of names) if (matches(asked, name)) expect(matches(granted, name)).toBe(true);
      }),
      { ...seeded, numRuns: 500 },
    );
  });

  it('grants exactly the subsets: every pattern against every other, over every name', () => {
    const words = (alphabet: string[], length: number): string[] =>
      length === 0 ? [''] : ['', ...words(alphabet, length - 1).flatMap((w) => alphabet.map((letter) => w + letter))];
    const all = (alphabet: string[], length: number) => [...new Set(words(alphabet, length))];
    const patterns = all(['a', 'b', ':', '*'], 4).filter((text) => parsePattern(text)) as Pattern[];
    // `x` stands in no pattern, so that a star in the asked one is told from every literal of the granted one.
    const names = all(['a', 'b', ':', 'x'], 5).filter((text) => parseChannel(text));
    const sets = patterns.map((pattern) =>
      names.reduce((set, name, i) => (naive(pattern, name) ? set | (1n << BigInt(i)) : set), 0n),
    );
    const wrong = patterns.flatMap((granted, g) =>
      patterns
        .filter((asked, a) => contains(granted, asked) !== ((sets[a]! & ~sets[g]!) === 0n))
        .map((asked) => `${granted} ${asked}`),
    );
    expect(patterns.length).toBeGreaterThan(150);
    expect(wrong).toEqual([]);
  });

  it.each([
    ['user:*', 'user:42', true],
    ['user:*', 'user:4*', true],
    ['user:*', 'user:*', true],
    ['*', '***', true],
    ['user:*', '*', false],
    ['user:*', 'user*', false],
    ['user:4*', 'user:*', false],
    ['user:42', 'user:*', false],
    ['a', 'a', true],
  ])('%s over %s: %s', (granted, asked, expected) => {
    expect(contains(granted as Pattern, asked as Pattern)).toBe(expected);
  });
});

describe('encodeSegment', () => {
  it.each([
    ['ada@example.com', 'ada~40example.com'],
    ['a:b', 'a~3Ab'],
    ['a*b', 'a~2Ab'],
    ['~', '~7E'],
    ['.', '~2E'],
    ['..', '~2E~2E'],
    ['...', '...'],
    ['ü', '~C3~BC'],
    ['\0\r\n', '~00~0D~0A'],
  ])('writes %j as %s', (text, segment) => {
    expect(encodeSegment(text)).toBe(segment);
    expect(decodeSegment(segment)).toBe(text);
  });

  it('makes one segment of any short text, and gives the text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 5 }), (text) => {
        const segment = encodeSegment(text);
        expect(parseChannel(segment)).toBe(segment);
        expect(segment).not.toContain(':');
        expect(decodeSegment(segment)).toBe(text);
      }),
      seeded,
    );
  });

  it('never gives two texts one segment', () => {
    const nasty = fc.string({ unit: fc.constantFrom('~', '4', '0', '@', '.', 'E', '2'), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(nasty, nasty, (a, b) => {
        fc.pre(a !== b);
        expect(encodeSegment(a)).not.toBe(encodeSegment(b));
      }),
      seeded,
    );
  });

  it.each(['', 'a'.repeat(65), '@'.repeat(22)])('throws for what no segment holds: %#', (text) => {
    expect(() => encodeSegment(text)).toThrow(RangeError);
  });

  it.each(['~', '~4', '~4g', '~2e', '~FF', '~C3', 'a~'])('decodes nothing that it did not write: %s', (segment) => {
    expect(decodeSegment(segment)).toBeUndefined();
  });
});
