import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createMetrics } from '../relay/metrics.ts';
import { closeReasons } from '../shared/close.ts';
import { problems } from '../shared/errors.ts';
import { keysOf } from '../shared/keys.ts';
import { limits } from '../shared/limits.ts';

const root = new URL('..', import.meta.url).pathname;

/** What is made, not written. */
const made = new Set(['node_modules', '.git', '.dev', '.wrangler', '.tsbuild', 'coverage']);

function list(folder = ''): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).filter((e) => !made.has(e.name));
  const files = entries.filter((e) => e.isFile() && !e.name.endsWith('.log')).map((e) => join(folder, e.name));
  return [...files, ...entries.filter((e) => e.isDirectory()).flatMap((e) => list(join(folder, e.name)))];
}

interface Source {
  path: string;
  folder: string;
  text: string;
  /** Without comments, which may speak of what the code must not do. */
  code: string;
  /** Packages by name, own files by path. */
  imports: string[];
}

const files = list().map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
const sources: Source[] = files
  .filter(({ path }) => /\.(ts|mjs)$/.test(path))
  .map(({ path, text }) => {
    const code = text.replace(/\/\*[\s\S]*?\*\/|(?<=^|[\s;])\/\/.*$/gm, '');
    const named = [...code.matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)].map((m) => m[1]!);
    const imports = named.map((name) => (name.startsWith('.') ? normalize(join(dirname(path), name)) : name));
    return { path, folder: path.split('/')[0]!, text, code, imports };
  });
const ours = sources.filter(({ folder }) => ['edge', 'relay', 'shared', 'dev'].includes(folder));
const isOurs = (name: string) => sources.some(({ path }) => path === name);

/** No file may do it; whoever does finds the cure in the message. */
function nobody(does: (source: Source) => unknown, cure: string, among = ours): void {
  expect(
    among.filter(does).map(({ path }) => path),
    cure,
  ).toEqual([]);
}

describe('imports', () => {
  const mayImport: Record<string, string[]> = {
    shared: ['shared'],
    edge: ['edge', 'shared'],
    relay: ['relay', 'shared'],
    dev: ['dev'],
    test: ['test', 'dev', 'edge', 'relay', 'shared'],
  };

  it('go from edge and relay to shared, and nowhere else', () => {
    const wrong = sources.flatMap(({ path, folder, imports }) =>
      imports
        .filter((name) => isOurs(name) && !mayImport[folder]?.includes(name.split('/')[0]!))
        .map((name) => `${path} imports ${name}`),
    );
    expect(wrong, 'Move what both need to shared/; a new folder gets a row in mayImport.').toEqual([]);
  });

  it.each([
    ['@upstash/redis', ['edge/redis.ts']],
    ['ioredis', ['relay/redis.ts', 'relay/primary.ts']], // what is asked, and of whom
  ])('take %s from %s only', (name, only) => {
    const imports = (s: Source) => s.imports.some((i) => i === name || i.startsWith(`${name}/`));
    nobody(
      (s) => !only.includes(s.path) && imports(s),
      `Call the port of shared/redis.ts; what it lacks, add in ${only[0]}.`,
    );
    expect(sources.filter(imports).map(({ path }) => path)).toEqual(expect.arrayContaining(only));
  });

  it('never go from one route to another', () => {
    const sibling = (s: Source) =>
      s.path.startsWith('edge/routes/') && s.imports.some((i) => i.startsWith('edge/routes/'));
    nobody(sibling, 'Move what two routes need up into edge/.');
  });

  it('make no circle', () => {
    const graph = new Map(sources.map((s) => [s.path, s.imports.filter(isOurs)]));
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (path: string, trail: string[]) => {
      if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      if (done.has(path) || trail.includes(path)) return;
      for (const next of graph.get(path)!) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
    expect(circles, 'Move what both need into a third file below them.').toEqual([]);
  });
});

describe('code', () => {
  it('keeps clock, randomness, timers and I/O out of shared', () => {
    const reaches =
      /\bDate\.now\b|new Date\(\)|performance\.now|Math\.random|randomUUID|getRandomValues|randomBytes|setTimeout|setInterval|\bfetch\(/;
    const among = sources.filter(({ folder }) => folder === 'shared');
    nobody((s) => reaches.test(s.code), 'Take it as an argument; entry files hand it in.', among);
    nobody((s) => s.imports.some((i) => i.startsWith('node:')), 'shared/ runs in browsers and Workers too.', among);
  });

  it('reads the environment in entry files only', () => {
    const entry = (path: string) => path === 'relay/index.ts' || path.startsWith('dev/');
    nobody(
      (s) => !entry(s.path) && /\bprocess\.env\b/.test(s.code),
      'Read it in config.ts, from what the entry file hands in.',
    );
  });

  it('writes frames in shared/sse.ts only', () => {
    const writes = /(['"`]|\\n)(data|id|event|retry): ?(['"`]|\$\{|\\n)/;
    nobody((s) => s.path !== 'shared/sse.ts' && writes.test(s.code), 'Call the functions of shared/sse.ts.');
    expect(writes.test(sources.find(({ path }) => path === 'shared/sse.ts')!.code)).toBe(true);
  });

  it('has no drawers for odds and ends, no barrels, no managers, no twins', () => {
    nobody(
      (s) =>
        /^(utils?|helpers?|common|misc|lib|types)\b/.test(basename(s.path)) || /[_-]v\d|V\d+\./.test(basename(s.path)),
      'Name the file after what it is about; replace what it replaces.',
      sources,
    );
    nobody((s) => /\bexport \* from\b/.test(s.code), 'Import from the file that has it.', sources);
    nobody(
      (s) => /\b(class|interface|type|function) \w*(Manager|Util|Helper)s?\b/.test(s.code),
      'Say what it does.',
      sources,
    );
  });

  it('is in files that are read in one sitting', () => {
    const lines = (s: Source) => s.text.split('\n').length - 1;
    nobody((s) => lines(s) > 320, 'Cut it where its subject changes; past 320 lines nobody reads it whole.');
  });
});

describe('the repository', () => {
  it('names no machine that it was written on', () => {
    const path = /(?<![\w.~<>-])\/(?:work|home)\/\w/;
    const wrong = files.filter(({ text }) => path.test(text)).map((file) => file.path);
    expect(wrong, 'Write paths from the root of the project.').toEqual([]);
  });

  it('has a lockfile that names packages and hashes, not where they came from', () => {
    const lock = files.find(({ path }) => path === 'package-lock.json')!.text;
    const cure = 'Keep omit-lockfile-registry-resolved in .npmrc and write the lockfile anew.';
    expect(lock, cure).toContain('"integrity"');
    expect(lock, cure).not.toMatch(/"resolved": "http|\/\/(registry|npm)\./);
  });
});

describe('the docs have the tables of the code:', () => {
  const docs = files.filter(({ path }) => path.startsWith('docs/') && path.endsWith('.md'));

  /** The first cells of each row below `<!-- table: name -->`, without backticks. */
  function table(name: string, columns: number): string[][] {
    const text = docs.map((doc) => doc.text.split(`<!-- table: ${name} -->\n`)[1]).find((after) => after !== undefined);
    expect(text, `Put the table below <!-- table: ${name} --> in docs/.`).toBeDefined();
    const rows = text!.split('\n').slice(2);
    const end = rows.findIndex((row) => !row.startsWith('|'));
    const cells = (row: string) =>
      row
        .split('|')
        .slice(1, columns + 1)
        .map((cell) => cell.replaceAll('`', '').trim());
    return rows
      .slice(0, end < 0 ? undefined : end)
      .map(cells)
      .sort();
  }

  function sameAs(name: string, rows: (string | number)[][]): void {
    const expected = rows.map((row) => row.map(String)).sort();
    expect(table(name, expected[0]!.length), `docs/, table "${name}": write what the code says.`).toEqual(expected);
  }

  it('problems, with their status', () =>
    sameAs(
      'problems',
      Object.entries(problems).map(([code, { status }]) => [code, status]),
    ));

  it('limits, with their values', () => sameAs('limits', Object.entries(limits)));

  it('close reasons, with what the client is told and whether it comes back', () =>
    sameAs(
      'close',
      Object.entries(closeReasons).map(([reason, r]) => [reason, r.event ?? '', r.reconnect ? 'yes' : 'no']),
    ));

  it('metrics', async () => {
    const zero = () => 0;
    const gauges = {
      readers: zero,
      messages: zero,
      deliveries: zero,
      ready: () => true,
      probeAgeMs: zero,
      evicts: () => false,
    };
    const names = (await createMetrics(gauges).registry.getMetricsAsJSON()).map((metric) => metric.name);
    sameAs(
      'metrics',
      names.filter((name) => name.startsWith('edgewire_')).map((name) => [name]),
    );
  });

  it('environment variables, with who reads them', () => {
    const readBy = (path: string) => {
      const { code } = sources.find((source) => source.path === path)!;
      const found = code.matchAll(/\benv\.([A-Z][A-Z0-9_]*)|\b(?:required|read)\(\s*'([A-Z][A-Z0-9_]*)'/g);
      return [...new Set([...found].map((m) => m[1] ?? m[2]!))];
    };
    const programs = { both: 'shared/settings.ts', edge: 'edge/config.ts', relay: 'relay/config.ts' };
    sameAs(
      'env',
      Object.entries(programs).flatMap(([program, path]) => readBy(path).map((name) => [name, program])),
    );
  });

  it('Redis keys and pub/sub names', () => {
    const tag = '{ew:<namespace>}:';
    const names = Object.entries(keysOf('<namespace>')).map(([member, name]) => [
      member,
      typeof name === 'string' ? name : name('<>' as never),
    ]);
    // Rows say `...` for the tag; what stands between angle brackets is for the reader.
    const short = (text: string) => (text === tag ? tag : text.replace(tag, '...').replace(/<.*>/, '<>'));
    const rows = (all: string[][]) => all.map(([member, text]) => [member, short(text!)]).sort();
    expect(rows(table('redis-keys', 2)), 'docs/, table "redis-keys": write what the code says.').toEqual(
      rows(names as string[][]),
    );
  });
});
