import { Faults, listOf, readSettings, type Settings } from '../shared/settings.ts';

/** The Worker's bindings as text. Other kinds of binding may stand beside them and are not read. */
export type Env = Record<string, string | undefined>;

/** Where messages go while Redis is away, and what is shown there. No URLs: nowhere. */
export interface Degraded {
  urls: readonly string[];
  token: string;
}

export interface Config {
  settings: Settings;
  redis: { url: string; token: string };
  degraded: Degraded;
}

/** Throws one error that names every fault and repeats no value: most of them are secrets. */
export function readConfig(env: Env): Config {
  const faults = new Faults();
  const settings = readSettings(env, faults);
  const required = (name: string, fits: (text: string) => boolean, rule: string) => {
    const text = env[name] ?? '';
    if (!fits(text)) faults.list.push(`${name}: ${rule}`);
    return text;
  };
  const redis = {
    url: required('UPSTASH_REDIS_REST_URL', isHttpUrl, 'set it to the https:// address of your REST API'),
    // The client would only warn of a line break and then fail on every request.
    token: required('UPSTASH_REDIS_REST_TOKEN', isToken, 'set it to its token'),
  };
  const urls = faults.read<string[]>('DEGRADED_URLS', env.DEGRADED_URLS, [], parseUrls, '1 to 8 addresses of relays');
  const token = urls[0] ? required('DEGRADED_TOKEN', isToken, 'set it to that of the relays') : '';
  faults.settle('The edge');
  return { settings, redis, degraded: { urls, token } };
}

function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

function parseUrls(text: string): string[] | undefined {
  const urls = listOf(text);
  return urls.length <= 8 && urls.every(isHttpUrl) ? urls.map((url) => url.replace(/\/$/, '')) : undefined;
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && !/[?#\s]/.test(text);
}
