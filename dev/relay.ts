import { answers200, type Child, startChild } from './child.ts';

const readyMsMax = 15_000;

export interface RelayOptions {
  /** The relay's whole configuration. PORT must be given; PATH is added. */
  readonly env: Readonly<NodeJS.ProcessEnv> & { readonly PORT: string };
  readonly logFile?: string;
  readonly signal?: AbortSignal;
  /** When it counts as started. Default `/readyz`: it hears everything from then on; `/healthz` when Redis is away. */
  readonly readyPath?: '/readyz' | '/healthz';
  /** Default: the relay. For trying the launcher itself. */
  readonly entry?: string;
}

export interface RunningRelay extends Child {
  readonly url: string;
}

/** The relay as in production, on 127.0.0.1 unless HOST says otherwise, started when this resolves. */
export async function startRelay(options: RelayOptions): Promise<RunningRelay> {
  const { env, logFile, signal, entry = 'relay/index.ts', readyPath = '/readyz' } = options;
  const url = `http://127.0.0.1:${env.PORT}`;
  const child = await startChild({
    name: 'The relay',
    command: process.execPath,
    args: [entry],
    // Only what it was given: a setting from the developer's shell must not decide how a test ends.
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', ...env },
    logFile,
    ready: () => answers200(url + readyPath),
    readyMsMax,
    signal,
  });
  return { ...child, url };
}
