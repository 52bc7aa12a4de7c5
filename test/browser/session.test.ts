import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chromiumLaunch } from '../../dev/chromium.ts';
import { post } from '../helpers/publish.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { servePage } from './page.ts';

let site: Awaited<ReturnType<typeof servePage>>;
let stack: Stack;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  site = await servePage();
  const closed = { ANONYMOUS_READ: '', ALLOWED_ORIGINS: site.origin };
  stack = await startStack({ edge: true, edgeVars: closed, relayEnv: closed });
  browser = await chromium.launch(chromiumLaunch());
  page = await browser.newPage();
  await page.goto(site.origin);
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
  await site.close();
});

/** What a native EventSource of the page comes to: `open`, or `stopped` for ever. */
function outcome(channel: string, withCredentials: boolean): Promise<string> {
  return page.evaluate(
    ([url, credentials]) =>
      new Promise<string>((resolve) => {
        const source = new EventSource(url!, { withCredentials: credentials === 'yes' });
        const settle = (said: string) => {
          source.close();
          resolve(said);
        };
        source.addEventListener('edgewire.open', () => settle('open'));
        source.onerror = () => source.readyState === EventSource.CLOSED && settle('stopped');
      }),
    [`${stack.relayUrl}/v1/stream?channel=${channel}`, withCredentials ? 'yes' : 'no'],
  );
}

function session(method: string, headers: Record<string, string> = {}): Promise<number> {
  return page.evaluate(
    async ([url, how, given]) =>
      (await fetch(url!, { method: how!, headers: JSON.parse(given!), credentials: 'include' })).status,
    [`${stack.relayUrl}/v1/session`, method, JSON.stringify(headers)],
  );
}

test('a page keeps its token in a cookie, reads with it what the token grants, and drops it again', async () => {
  const answer = await post(stack, '/v1/tokens', '{"sub":"ada","channels":["mine"]}');
  const { token } = await answer.json();
  expect(await outcome('mine', true)).toBe('stopped'); // nothing is open to everyone here

  expect(await session('POST', { Authorization: `Bearer ${token}` })).toBe(204);
  expect(await outcome('mine', true)).toBe('open');
  expect(await outcome('yours', true)).toBe('stopped');
  expect(await outcome('mine', false)).toBe('stopped'); // the cookie travels only where the page says so
  expect(await page.evaluate(() => document.cookie)).toBe('');

  expect(await session('DELETE')).toBe(204);
  expect(await outcome('mine', true)).toBe('stopped');
});
