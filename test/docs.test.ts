import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { post } from './helpers/publish.ts';
import { type Stack, startStack } from './helpers/stack.ts';

const root = new URL('..', import.meta.url).pathname;

/** What readers copy must run as it stands: each block that is fenced as `sh test` or `python test`. */
const files = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith('.md'),
);
const blocks = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^( *)```(sh|python) test\n(.*?)^\1```$/gms)].map(([, indent, language, body], i) => ({
    name: `${file}, line ${text.slice(0, text.indexOf(body!)).split('\n').length}`,
    index: i,
    language: language as 'sh' | 'python',
    script: body!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
});

let stack: Stack;
let env: NodeJS.ProcessEnv;
/** Published after CURSOR on the channel of the examples: what a reader that resumes there prints before it stops. */
let missed: string;

beforeAll(async () => {
  stack = await startStack({ edge: true });
  const publish = async (data: string) => (await (await post(stack, '/v1/channels/demo/messages', data)).json()).id;
  const CURSOR = await publish('"first"');
  missed = await publish('{"n":1}');
  await publish('"stop"');
  env = { PATH: process.env.PATH, EDGE: stack.edgeUrl, RELAY: stack.relayUrl, KEY: stack.publishKey, CURSOR };
});
afterAll(() => stack.stop());

test('the documents have examples to run, in both languages', () => {
  expect(new Set(blocks.map(({ language }) => language))).toEqual(new Set(['sh', 'python']));
  const fences = files.flatMap((file) => readFileSync(join(root, file), 'utf8').match(/^ *```\w+ test\b/gm) ?? []);
  expect(blocks).toHaveLength(fences.length); // none is overlooked for a slip in its fence
});

test.concurrent.each(blocks)('$name runs as it stands', async ({ language, script }) => {
  const [command, args] = language === 'sh' ? ['bash', ['-eu', '-c', script]] : ['python3', ['-c', script]];
  const { stdout } = await promisify(execFile)(command as string, args as string[], {
    cwd: root,
    env,
    timeout: 20_000,
  });
  if (language === 'python') expect(stdout).toContain(missed);
  if (script.includes('/v1/stream')) expect(stdout).toContain('edgewire.open'); // curl takes a 401 for a success
});
