import { expect, it } from 'vitest';
import { parseRedisUrl } from '../../relay/address.ts';
import { readConfig } from '../../relay/config.ts';

const access = { tls: false, username: undefined, password: undefined };
const sentinel = { mode: 'sentinel', ...access, db: 0, sentinelUsername: undefined, sentinelPassword: undefined };

it.each([
  ['redis://127.0.0.1:6379', { mode: 'single', url: 'redis://127.0.0.1:6379' }],
  ['rediss://user:p%40ss@redis.internal:6380/2', { mode: 'single', url: 'rediss://user:p%40ss@redis.internal:6380/2' }],
  ['/run/redis.sock', { mode: 'single', url: '/run/redis.sock' }],
  [
    'redis+sentinel://a:1,b/main',
    {
      ...sentinel,
      master: 'main',
      sentinels: [
        { host: 'a', port: 1 },
        { host: 'b', port: 26379 },
      ],
    },
  ],
  [
    'rediss+sentinel://user:p%3Aw@[::1]:5/my-master/3?sentinelUsername=s&sentinelPassword=%2F',
    {
      ...{ mode: 'sentinel', tls: true, username: 'user', password: 'p:w', db: 3, master: 'my-master' },
      ...{ sentinelUsername: 's', sentinelPassword: '/', sentinels: [{ host: '::1', port: 5 }] },
    },
  ],
  ['redis+cluster://a', { mode: 'cluster', ...access, nodes: [{ host: 'a', port: 6379 }] }],
  [
    'rediss+cluster://:secret@a:1,b:2/',
    {
      ...{ mode: 'cluster', tls: true, username: undefined, password: 'secret' },
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    },
  ],
])('%s is understood', (text, address) => {
  expect(parseRedisUrl(text)).toEqual(address);
});

it.each([
  'http://a',
  '//a',
  'redis://a:1,b:2',
  'redis+sentinel://a:1',
  'redis+sentinel:///main',
  'redis+sentinel://a:1/main/x',
  'redis+sentinel://a:1/main?db=1',
  'redis+sentinel://a:0/main',
  'redis+sentinel://a:70000/main',
  'redis+sentinel://a,,b/main',
  'redis+cluster://a/0',
  'redis+cluster://a?x=1',
  'redis+cluster://,',
  'redis+ring://a',
  'redis+cluster://u:%zz@a',
])('%s is refused, with the forms that are not, and without the value', (text) => {
  const start = () => readConfig({ REDIS_URL: text });
  expect(start).toThrow(/REDIS_URL: use redis:\/\//);
  expect(start).not.toThrow(text);
});
