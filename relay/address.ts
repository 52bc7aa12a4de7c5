/** Where Redis is, as `REDIS_URL` says it: one server, one that Sentinels name, or a Cluster. */
export type RedisAddress = SingleAddress | SentinelAddress | ClusterAddress;

/** `redis://[user:password@]host[:port][/db]`, `rediss://` with TLS, or the path of a unix socket. */
export interface SingleAddress {
  mode: 'single';
  url: string;
}

/** `redis+sentinel://[user:password@]host[:port],.../<master name>[/db][?sentinelUsername=&sentinelPassword=]` */
export interface SentinelAddress extends Access {
  mode: 'sentinel';
  sentinels: Node[];
  master: string;
  db: number;
  sentinelUsername: string | undefined;
  sentinelPassword: string | undefined;
}

/** `redis+cluster://[user:password@]host[:port],...`: some of its nodes; the others are learned from them. */
export interface ClusterAddress extends Access {
  mode: 'cluster';
  nodes: Node[];
}

export interface Node {
  host: string;
  port: number;
}

interface Access {
  /** Of the scheme: `rediss+...`. For every connection of the address, those to Sentinels too. */
  tls: boolean;
  username: string | undefined;
  password: string | undefined;
}

export const redisUrlRule =
  'use redis://[user:password@]host:port[/db], redis+sentinel://[user:password@]host:port,.../<master name>[/db], ' +
  'redis+cluster://[user:password@]host:port,..., each with rediss for TLS, or the path of a unix socket';

const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6379;

export function parseRedisUrl(text: string): RedisAddress | undefined {
  if (text.startsWith('/') && !text.startsWith('//')) return { mode: 'single', url: text };
  if (/^rediss?:\/\//.test(text)) return URL.canParse(text) ? { mode: 'single', url: text } : undefined;
  const parts = /^redis(s?)\+(sentinel|cluster):\/\/(?:([^@/?]*)@)?([^@/?]+)\/?([^?]*)(?:\?(.*))?$/.exec(text);
  if (!parts) return undefined;
  const [, s, mode, credentials = '', hosts, path = '', query = ''] = parts;
  const [username, ...password] = credentials.split(':').map(decodeURIComponent);
  const access = { tls: s === 's', username: username || undefined, password: password.join(':') || undefined };
  const nodes = parseNodes(hosts!, mode === 'sentinel' ? SENTINEL_PORT : REDIS_PORT);
  if (!nodes) return undefined;
  if (mode === 'cluster') return path === '' && query === '' ? { mode, nodes, ...access } : undefined;
  return parseSentinel(nodes, path, new URLSearchParams(query), access);
}

function parseSentinel(
  sentinels: Node[],
  path: string,
  query: URLSearchParams,
  access: Access,
): SentinelAddress | undefined {
  const [, master, db = '0'] = /^([A-Za-z0-9._-]+)(?:\/(\d{1,5}))?$/.exec(path) ?? [];
  const unknown = [...query.keys()].some((name) => name !== 'sentinelUsername' && name !== 'sentinelPassword');
  if (!master || unknown) return undefined;
  const [sentinelUsername, sentinelPassword] = ['sentinelUsername', 'sentinelPassword'].map(
    (name) => query.get(name) || undefined,
  );
  return { mode: 'sentinel', sentinels, master, db: Number(db), sentinelUsername, sentinelPassword, ...access };
}

function parseNodes(text: string, defaultPort: number): Node[] | undefined {
  const nodes = text.split(',').map((part) => {
    const [, ip, name, port = defaultPort] =
      /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(part) ?? [];
    const host = ip ?? name;
    return host !== undefined && Number(port) > 0 && Number(port) < 65_536 ? { host, port: Number(port) } : undefined;
  });
  return nodes.every((node) => node !== undefined) ? nodes : undefined;
}
