import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP way to another port of this machine that can be slow, cut, or silently dead. */
export interface Way {
  port: number;
  /** Resets every connection. */
  cut(): void;
  /** From now on everything takes so long in each direction. */
  slow(delayMs: number): void;
  /** Existing connections stay open and carry nothing from now on, either way; new ones work. */
  deaden(): void;
  stop(): Promise<void>;
}

/** `delayMs` in each direction widens every window in which a race could be lost. */
export async function startWay(port: number, delayMs = 0): Promise<Way> {
  let delay = delayMs;
  const alive = new Set<Socket>();
  const dead = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      alive.add(from);
      from.setNoDelay(true);
      const pass = (chunk: Buffer) => !dead.has(from) && !to.destroyed && to.write(chunk);
      // Timers of one length keep their order.
      from.on('data', (chunk) => (delay === 0 ? pass(chunk) : void setTimeout(pass, delay, chunk)));
      from.on('error', () => undefined);
      from.on('close', () => {
        alive.delete(from);
        if (!dead.has(from)) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const end = () => {
    for (const socket of [...alive, ...dead]) socket.resetAndDestroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut: end,
    slow(ms) {
      delay = ms;
    },
    deaden() {
      for (const socket of alive) dead.add(socket);
    },
    async stop() {
      end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
