import { createHash } from 'node:crypto';
import type { Secrets } from './secrets.ts';

export interface Stack {
  readonly edgePort: number;
  readonly relayPort: number;
  readonly redisUrl: string;
  readonly secrets: Secrets;
  /** Default: `default`. */
  readonly namespace?: string | undefined;
  /** Default: the programs' own. */
  readonly retention?: string | undefined;
  /** Besides the pages of relay and edge themselves. */
  readonly allowedOrigins?: string | undefined;
  /** Default: everybody may read everything. */
  readonly anonymousRead?: string | undefined;
}

/** What both programs are told on a developer's machine: one key that may do everything, and what may be changed. */
function common(stack: Stack): Record<string, string> {
  const { edgePort, relayPort, secrets, namespace = 'default', retention, anonymousRead = '*' } = stack;
  const everything = { actions: ['publish', 'read', 'mint', 'admin'], patterns: ['*'] };
  const sha256 = createHash('sha256').update(secrets.publishKey).digest('hex');
  const signing = { kid: 'dev', alg: 'HS256', secret: secrets.tokenSecret };
  const origins = [relayPort, edgePort].flatMap((port) => [`http://127.0.0.1:${port}`, `http://localhost:${port}`]);
  return {
    NAMESPACE: namespace,
    ...(retention === undefined ? {} : { RETENTION: retention }),
    API_KEYS: JSON.stringify([{ id: 'local', principal: 'dev', sha256, scopes: [everything] }]),
    TOKENS: JSON.stringify({ issuer: 'edgewire-dev', audience: 'edgewire', keys: [signing] }),
    ALLOWED_ORIGINS: origins.concat(stack.allowedOrigins ?? []).join(','),
    ANONYMOUS_READ: anonymousRead,
  };
}

/** The edge's bindings. It reaches Redis through the relay's REST door, as it would reach Upstash. */
export function edgeVars(stack: Stack): Record<string, string> {
  return {
    ...common(stack),
    UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${stack.relayPort}/redis`,
    UPSTASH_REDIS_REST_TOKEN: stack.secrets.restToken,
  };
}

export function relayEnv(stack: Stack): Record<string, string> & { PORT: string } {
  return {
    ...common(stack),
    REDIS_URL: stack.redisUrl,
    HOST: '127.0.0.1',
    PORT: String(stack.relayPort),
    REST_TOKEN: stack.secrets.restToken,
    CONSOLE: '1',
    CONSOLE_KEY: stack.secrets.publishKey, // The console page publishes with it; honoured on loopback only.
    EDGE_URL: `http://127.0.0.1:${stack.edgePort}`,
  };
}
