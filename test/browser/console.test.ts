import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chromiumLaunch } from '../../dev/chromium.ts';
import { freePort } from '../../dev/ports.ts';
import { post } from '../helpers/publish.ts';
import { type Relay, type Stack, startStack } from '../helpers/stack.ts';

let stack: Stack;
let relay: Relay;
let browser: Browser;
let page: Page;
/** What a developer would see in red, but for the connections that the tests break on purpose. */
let complaints: string[];

beforeAll(async () => {
  const port = await freePort();
  const edgeVars = { ALLOWED_ORIGINS: `http://127.0.0.1:${port}` };
  stack = await startStack({ edge: true, edgeVars });
  relay = await stack.addRelay({ PORT: String(port) }); // the one that may be shot: the other is the edge's door to Redis
  browser = await chromium.launch(chromiumLaunch());
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
});
beforeEach(async () => {
  complaints = [];
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.on('console', (said) => {
    if (['error', 'warning'].includes(said.type()) && !said.text().includes('net::ERR_')) complaints.push(said.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`${relay.url}/console`);
});

const by = (name: string) => page.locator(`[data-test=${name}]`);
const state = (name: string) => page.locator(`[data-test=state][data-state=${name}]`).waitFor({ timeout: 15_000 });

async function connect(names: string): Promise<void> {
  await by('channel-input').fill(names);
  await by('connect').click();
  await state('live');
}

async function publish(channel: string, data: unknown): Promise<string> {
  return (await (await post(stack, `/v1/channels/${channel}/messages`, JSON.stringify(data))).json()).id;
}

test('the console reads a channel and a pattern, and shows what its own form publishes', async () => {
  await connect('orders user:*');
  await by('publish-channel').fill('user:42');
  await by('publish-body').fill('{"task":7,"big":12345678901234567890,"markup":"<img src=x onerror=alert(1)>"}');
  expect(await by('publish-key').inputValue()).toBe(stack.publishKey);
  await by('publish').click();
  const row = page.locator('[data-test=message][data-channel="user:42"]');
  await row.waitFor();
  const id = await row.getAttribute('data-id');
  await expect.poll(() => by('result').textContent()).toContain(id);
  expect(await row.textContent()).toContain('12345678901234567890');
  expect(await row.textContent()).toContain('<img src=x'); // as text
  await expect.poll(() => by('count-messages').textContent()).toBe('1');
  expect(await by('cursor').textContent()).toBe(id);
  for (const counter of ['gaps', 'resets', 'doubled']) expect(await by(`count-${counter}`).textContent()).toBe('0');

  const other = await publish('orders', 'from elsewhere');
  await page.locator(`[data-test=message][data-id="${other}"]`).waitFor();
  await page.screenshot({ path: join(tmpdir(), 'edgewire-console.png') }); // for human eyes
  expect(complaints).toEqual([]);
});

test('a publish that is refused says what to do', async () => {
  await by('publish-channel').fill('orders');
  await by('publish-key').fill('ew_dev_local_wrong');
  await by('publish').click();
  await expect.poll(() => by('result').textContent()).toContain('credential_invalid');
  expect(complaints.filter((text) => !text.includes('401'))).toEqual([]); // Chromium tells of each 401 by itself
});

test('loss while the console was away is a row of its own, and so is a return without loss', async () => {
  await connect('till');
  const seen = await publish('till', 'seen');
  await page.locator(`[data-test=message][data-id="${seen}"]`).waitFor();

  await relay.kill();
  await state('waiting');
  const kept = await publish('till', 'kept');
  relay = await stack.addRelay({ PORT: new URL(relay.url).port });
  await page.locator(`[data-test=message][data-id="${kept}"]`).waitFor();
  await page.locator('[data-test=notice][data-kind=reconnected]').waitFor();
  expect(await by('count-gaps').textContent()).toBe('0');

  await relay.kill();
  await state('waiting');
  await publish('till', 'purged');
  const purged = await fetch(`${stack.edgeUrl}/v1/channels/till/messages`, {
    method: 'DELETE',
    headers: { Authorization: `Bearer ${stack.publishKey}` },
  });
  expect(purged.status).toBe(204);
  relay = await stack.addRelay({ PORT: new URL(relay.url).port });
  const gap = page.locator('[data-test=notice][data-kind=gap]');
  await gap.waitFor();
  expect(await gap.textContent()).toContain('till');
  await expect.poll(() => by('count-gaps').textContent()).toBe('1');
  expect(await by('count-reconnects').textContent()).toBe('2');
  expect(await by('count-messages').textContent()).toBe('2');
  expect(complaints).toEqual([]);
});

test('"/" leads to the filter, Escape leaves it empty, and "/" in a field is a character', async () => {
  await page.locator('body').click({ position: { x: 700, y: 700 } });
  await page.keyboard.press('/');
  expect(await by('filter').evaluate((filter) => filter === document.activeElement)).toBe(true);
  await page.keyboard.type('a/b');
  expect(await by('filter').inputValue()).toBe('a/b');
  await page.keyboard.press('Escape');
  expect(await by('filter').inputValue()).toBe('');
  expect(complaints).toEqual([]);
});

test('nothing but what the relay served runs in the console', async () => {
  const response = await page.reload();
  const policy = response!.headers()['content-security-policy']!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain('unsafe');
  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.injected = true';
    document.body.append(script);
    return 'injected' in window;
  });
  expect(ran).toBe(false);
  await expect.poll(() => complaints.length).toBe(1); // so the tests above would have seen a violation
});
