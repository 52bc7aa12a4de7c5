import { Faults, readSettings, type Settings } from '../shared/settings.ts';

/** The Worker's bindings as text. Other kinds of binding may stand beside them and are not read. */
export type Env = Record<string, string | undefined>;

export interface Config {
  settings: Settings;
  redis: { url: string; token: string };
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
    url: required('UPSTASH_REDIS_REST_URL', isHttpUrl, 'set it to the https:// address of the REST API of your Redis'),
    // The client would only warn of a line break and then fail on every request.
    token: required(
      'UPSTASH_REDIS_REST_TOKEN',
      (t) => /^[\x21-\x7e]+$/.test(t),
      'set it to the token of that REST API',
    ),
  };
  faults.settle('The edge');
  return { settings, redis };
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && !/[?#\s]/.test(text);
}
