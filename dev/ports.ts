import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { CannotStart } from './child.ts';

/**
 * Below 32768, where Linux begins to hand out ports for outgoing connections: a port found free there can be taken by
 * any client socket before the server that it was meant for has started.
 */
const lowest = 20_000;
const highest = 32_767;
const triesMax = 100;

/** A port on which nothing listened a moment ago. Chosen at random, so that test workers running side by side differ. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries++) {
    const port = randomInt(lowest, highest + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port between ${lowest} and ${highest} in ${triesMax} tries.`);
}

/** The first free port above `port` that is not in `taken`. */
export async function freePortAfter(port: number, taken: readonly number[] = []): Promise<number> {
  for (let next = port + 1; next <= Math.min(port + triesMax, 65_535); next++) {
    if (!taken.includes(next) && (await isFree(next))) return next;
  }
  return freePort();
}

/** Whether a server on 127.0.0.1 could take `port`. */
export async function isFree(port: number): Promise<boolean> {
  // macOS lets us listen on 127.0.0.1 beside someone who holds the port on all addresses, hence both questions.
  return (await canListen(port)) && !(await answers(port));
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
    socket.setTimeout(1_000, () => settle(false));
  });
}

/**
 * EDGE_PORT and RELAY_PORT. Whoever set one relies on it, so a busy one is refused; a busy default only moves up, and
 * `notes` says so. The refusal offers a command line that works.
 */
export async function choosePorts(env: NodeJS.ProcessEnv) {
  const notes: string[] = [];
  const refused: string[] = [];
  const taken: number[] = [];
  const choose = async (name: 'EDGE_PORT' | 'RELAY_PORT', fallback: number): Promise<number> => {
    const text = env[name];
    const asked = Number(text || fallback);
    const valid = Number.isInteger(asked) && asked >= 1 && asked <= 65_535;
    if (valid && !taken.includes(asked) && (await isFree(asked))) return asked;
    const other = await freePortAfter(valid ? asked : fallback, [...taken, 8787, 8788]);
    if (text) refused.push(`${name}=${text} ${valid ? 'is taken' : 'is not a port'}.`);
    else notes.push(`Port ${asked} is taken: ${name} is ${other} this time.`);
    return other;
  };
  const edgePort = await choose('EDGE_PORT', 8787);
  taken.push(edgePort);
  const relayPort = await choose('RELAY_PORT', 8788);
  if (refused.length === 0) return { edgePort, relayPort, notes };
  throw new CannotStart(`${refused.join('\n')}\nTry: EDGE_PORT=${edgePort} RELAY_PORT=${relayPort} npm start`);
}
