import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chromiumLaunch } from '../../dev/chromium.ts';
import { inOrder } from '../flow/scene.ts';
import { post } from '../helpers/publish.ts';
import { type Relay, type Stack, startStack } from '../helpers/stack.ts';
import { servePage } from './page.ts';

let site: Awaited<ReturnType<typeof servePage>>;
let stack: Stack;
let browser: Browser;
let relay: Relay;

beforeAll(async () => {
  site = await servePage();
  stack = await startStack({ edge: true, relayEnv: { ALLOWED_ORIGINS: site.origin } });
  // The first relay is the edge's door to Redis and lives; browsers read from this one, which dies.
  relay = await stack.addRelay();
  browser = await chromium.launch(chromiumLaunch());
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
  await site.close();
});

/** What the page counts, in the page. */
interface Counts {
  ids: string[];
  opened: number;
  alarms: string[];
}

test('a page has every message once, in order, though its relay is shot again and again amid publishing', async () => {
  const page = await browser.newPage();
  await page.goto(site.origin);
  const query = 'channel=a&channel=b&channel=c&pattern=user:*';
  await page.evaluate((url) => {
    const counts: Counts = { ids: [], opened: 0, alarms: [] };
    Object.assign(window, { counts });
    const source = new EventSource(url);
    source.onmessage = ({ data, lastEventId }) => {
      counts.ids.push(lastEventId);
      if (JSON.parse(data).id !== lastEventId) counts.alarms.push(`${lastEventId} came with ${data}`);
    };
    source.addEventListener('edgewire.open', () => {
      counts.opened++;
    });
    for (const event of ['edgewire.gap', 'edgewire.reset']) {
      source.addEventListener(event, (said) => counts.alarms.push(`${event} ${(said as MessageEvent).data}`));
    }
  }, `${relay.url}/v1/stream?${query}`);
  const counts = () => page.evaluate(() => (window as unknown as { counts: Counts }).counts);
  const until = (holds: (counts: Counts) => boolean) =>
    expect.poll(async () => holds(await counts()), { timeout: 15_000, interval: 20 }).toBe(true);
  await until(({ opened }) => opened === 1);

  const published: string[] = [];
  let publishing = true;
  const channels = ['a', 'user:1', 'b', 'user:2', 'c', 'unheard'];
  const publishers = [1, 2, 3, 4].map(async (publisher) => {
    for (let i = publisher; publishing; i++) {
      const channel = channels[i % channels.length]!;
      const { id } = await (await post(stack, `/v1/channels/${channel}/messages`, String(i))).json();
      if (channel !== 'unheard') published.push(id);
    }
  });
  const shots = 4;
  for (let shot = 1; shot <= shots; shot++) {
    const before = (await counts()).ids.length;
    await until(({ ids }) => ids.length > before + 50);
    await relay.kill();
    const meanwhile = published.length;
    await expect.poll(() => published.length, { interval: 5 }).toBeGreaterThan(meanwhile + 20);
    relay = await stack.addRelay({ PORT: new URL(relay.url).port });
    await until(({ opened }) => opened === shot + 1);
  }
  publishing = false;
  await Promise.all(publishers);

  const expected = inOrder(published);
  await until(({ ids }) => ids.at(-1) === expected.at(-1));
  const { ids, opened, alarms } = await counts();
  const times = new Map<string, number>();
  for (const id of ids) times.set(id, (times.get(id) ?? 0) + 1);
  expect({
    lost: expected.filter((id) => !times.has(id)).length,
    doubled: [...times.values()].filter((n) => n > 1).length,
    foreign: ids.filter((id) => !published.includes(id)).length,
    alarms,
    opened,
  }).toEqual({ lost: 0, doubled: 0, foreign: 0, alarms: [], opened: shots + 1 });
  expect(ids).toEqual(expected);
});
