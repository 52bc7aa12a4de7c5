import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { root } from './find.mjs';

/** What is kept of a child's output for the message when it dies; the log file has all of it. */
const outputCharsMax = 64 * 1024;
/** A relay drains its readers for a few seconds; whoever has not left by then is ended. */
const stopMsMax = 10_000;
const probeEveryMs = 25;

/** Something outside our code is in the way. The message says what; a stack would only hide it. */
export class CannotStart extends Error {}

export interface Child {
  readonly pid: number;
  /** The last 64 Ki characters of stdout and stderr together. */
  output(): string;
  /** Resolves, never rejects, with how it ended: `exit code 1`, `SIGKILL`. */
  readonly exited: Promise<string>;
  /** SIGTERM to the program, SIGKILL after ten seconds, and nothing of its group is left when this resolves. */
  stop(): Promise<void>;
  /** SIGKILL to the whole group at once, as a crash would be. */
  kill(): Promise<void>;
}

export interface ChildOptions {
  /** How messages call it. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Everything it says, from this start on. */
  readonly logFile?: string | undefined;
  /** Asked again and again until true. May reject, which is false. */
  readonly ready: (pid: number) => Promise<boolean>;
  readonly readyMsMax: number;
  /** Gives up waiting for `ready`: the program is ended and the promise rejects. Without effect afterwards. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts a program in a process group of its own (so that Ctrl-C reaches only us and we decide the order of leaving) and
 * resolves when it is ready. Rejects with the tail of its output when it ends first or takes too long.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, command, args, env, logFile } = options;
  const child = spawn(command, args, { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = collectOutput(child, logFile);
  await once(child, 'spawn');
  const pid = child.pid!;
  const guard = guardGroup(pid);

  let ended: string | undefined;
  const exited = new Promise<string>((resolve) => {
    // `close` comes after the last output, but waits for grandchildren that hold the pipes; `exit` first ends those.
    child.once('exit', (code, signal) => {
      guard.kill('SIGKILL');
      signalGroup(pid, 'SIGKILL');
      ended = signal ?? `exit code ${code}`;
    });
    child.once('close', () => resolve(ended!));
  });

  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    if (ended) return void (await exited);
    if (signal === 'SIGTERM') child.kill(signal);
    else signalGroup(pid, signal);
    const late = setTimeout(() => signalGroup(pid, 'SIGKILL'), stopMsMax);
    await exited;
    clearTimeout(late);
  };
  const running: Child = { pid, output, exited, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };

  const deadline = performance.now() + options.readyMsMax;
  while (!(await options.ready(pid).catch(() => false))) {
    const why = ended
      ? `ended at once (${ended})`
      : options.signal?.aborted
        ? 'was told to stop'
        : performance.now() > deadline && `was not ready within ${options.readyMsMax / 1000} s`;
    if (why) {
      await running.kill();
      throw new CannotStart(`${name} ${why}. Its last words:\n${tail(output())}`);
    }
    await pause(probeEveryMs);
  }
  return running;
}

/** For `ready`: does the URL answer 200? */
export async function answers200(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await response.body?.cancel();
  return response.status === 200;
}

/** The last lines, for a screen. */
export function tail(output: string, lines = 20): string {
  return output.trimEnd().split('\n').slice(-lines).join('\n') || '(it said nothing)';
}

function collectOutput(child: ChildProcess, logFile: string | undefined): () => string {
  const log = logFile ? createWriteStream(logFile, { mode: 0o600 }) : undefined;
  let kept = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log?.write(text);
      kept = (kept + text).slice(-outputCharsMax);
    });
  }
  child.once('close', () => log?.end());
  return () => kept;
}

/**
 * Ends the group when we are gone without having said so (SIGKILL, a crash, a test worker that was shot): the kernel
 * then closes the pipe that this little shell waits on. A child that outlived us would keep its port, and a second
 * Redis on one append-only file would ruin it.
 */
function guardGroup(pid: number): ChildProcess {
  const script = `read -r _
kill -s TERM -- "-$0"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -s 0 -- "-$0" || exit
  sleep 0.25
done
kill -s KILL -- "-$0"`;
  const guard = spawn('sh', ['-c', script, String(pid)], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  guard.on('error', () => {}); // No sh, no guard: everything else works the same.
  guard.stdin.on('error', () => {}); // It is killed with the pipe open.
  guard.unref();
  return guard;
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // EPERM is what macOS says of a group in which only the dead are left.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}
