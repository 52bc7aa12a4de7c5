import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { root } from './find.mjs';

const triesMax = 3;

export type Lock = { readonly release: () => void } | { readonly heldBy: number };

/**
 * One stack a folder: two servers on one append-only file would ruin it. The file names a port on which the holder
 * answers for as long as it lives. A process id alone proves nothing: in containers the same small numbers come again.
 */
export async function takeLock(path: string): Promise<Lock> {
  const server = createServer((socket) => socket.on('error', () => {}).end(root));
  const port = await listen(server);
  for (let tries = 0; tries < triesMax; tries++) {
    try {
      writeFileSync(path, JSON.stringify({ pid: process.pid, port }), { flag: 'wx' });
      const release = () => {
        rmSync(path, { force: true });
        server.close();
      };
      return { release };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = read(path);
    if (holder && (await saidBy(holder.port)) === root) {
      server.close();
      return { heldBy: holder.pid };
    }
    rmSync(path, { force: true }); // Left by one that was shot.
  }
  server.close();
  throw new Error(`${path} comes back as often as it is removed: is another start in a loop?`);
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      server.unref();
      const address = server.address();
      if (address && typeof address === 'object') resolve(address.port);
    });
  });
}

/** What the holder of `port` says to whoever connects; empty when there is none or it waits for us to speak first. */
function saidBy(port: number): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    const socket = connect(port, '127.0.0.1');
    socket.setEncoding('utf8').setTimeout(1_000, () => socket.destroy());
    socket.on('data', (text: string) => {
      said += text;
    });
    socket.on('error', () => {}); // `close` follows.
    socket.on('close', () => resolve(said));
  });
}

function read(path: string): { pid: number; port: number } | undefined {
  try {
    const { pid, port } = JSON.parse(readFileSync(path, 'utf8'));
    return Number.isInteger(pid) && Number.isInteger(port) ? { pid, port } : undefined;
  } catch {
    return undefined; // Just released, or left half written.
  }
}
