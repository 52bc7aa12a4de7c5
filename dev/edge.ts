import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answers200, type Child, startChild } from './child.ts';
import { root } from './find.mjs';
import { freePort } from './ports.ts';

/** Wrangler bundles first: 1.2 s on two cores, more beside a test run. */
const readyMsMax = 60_000;

export interface EdgeOptions {
  /** Default: any free one. */
  readonly port?: number;
  /** The Worker's bindings, on top of wrangler.toml's [vars]. Any text without a line break or a single quote. */
  readonly vars: Readonly<Record<string, string>>;
  /** Wrangler's state and the file with `vars`. One running edge at a time. */
  readonly dir: string;
  readonly logFile?: string;
  readonly signal?: AbortSignal;
  /** Default: wrangler.toml. For trying the launcher itself. */
  readonly config?: string;
}

export interface RunningEdge extends Child {
  readonly url: string;
  readonly port: number;
}

/** The edge in workerd under `wrangler dev`, offline, answering /healthz when this resolves. Rebuilds on edits. */
export async function startEdge(options: EdgeOptions): Promise<RunningEdge> {
  const { vars, dir, logFile, signal, config = 'wrangler.toml' } = options;
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  mkdirSync(dir, { recursive: true });
  const child = await startChild({
    name: 'The edge',
    command: process.execPath,
    args: [
      join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js'),
      'dev',
      ...['--config', config, '--local', '--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0'],
      ...['--show-interactive-dev-session=false', '--persist-to', join(dir, 'state')],
      ...['--env-file', writeVars(join(dir, 'edge.env'), vars)],
    ],
    env: {
      ...process.env,
      CI: '1',
      CLOUDFLARE_INCLUDE_PROCESS_ENV: 'false', // The bindings are `vars` and nothing from the developer's shell.
      CLOUDFLARE_CF_FETCH_ENABLED: 'false', // Otherwise it asks Cloudflare for a sample `request.cf`, for up to 3 s.
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_SEND_ERROR_REPORTS: 'false',
      WRANGLER_HIDE_BANNER: 'true',
      WRANGLER_WRITE_LOGS: 'false',
      WRANGLER_REGISTRY_PATH: join(dir, 'registry'), // Two edges on one machine must not take each other's name.
    },
    logFile,
    ready: () => answers200(`${url}/healthz`),
    readyMsMax,
    signal,
  });
  return { ...child, url, port };
}

/** A file rather than `--var`: a command line can be read by every user of the machine. */
function writeVars(path: string, vars: EdgeOptions['vars']): string {
  const lines = Object.entries(vars).map(([name, value]) => {
    // In single quotes all is taken as it is, but for wrangler's later expansion of `$NAME`.
    if (/['\r\n]/.test(value)) throw new Error(`${name}: a single quote or line break cannot be passed to the edge.`);
    return `${name}='${value.replaceAll('$', '\\$')}'\n`;
  });
  writeFileSync(path, lines.join(''), { mode: 0o600 });
  return path;
}
