import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP way to another port of this machine that can be slow, cut, shut, or silently dead. */
export interface Way {
  port: number;
  /** Ends every connection: by a reset, or as a peer that says goodbye. */
  cut(how?: 'reset' | 'end'): void;
  /** Cuts, and lets nobody through until `open`. */
  shut(): void;
  open(): void;
  /** From now on everything takes so long in each direction. */
  slow(delayMs: number): void;
  /** Existing connections stay open and carry nothing from now on, either way; new ones work. */
  deaden(): void;
  /** From now on an answer (a chunk that comes back) is lost when this says so, and its connection with it. */
  loseAnswers(when: () => boolean): void;
  stop(): Promise<void>;
}

/** `delayMs` in each direction widens every window in which a race could be lost. */
export async function startWay(port: number, delayMs = 0): Promise<Way> {
  let delay = delayMs;
  let isShut = false;
  let loses = () => false;
  const alive = new Set<Socket>();
  const dead = new Set<Socket>();
  const server = createServer((client) => {
    if (isShut) return void client.resetAndDestroy();
    const target = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      alive.add(from);
      from.setNoDelay(true);
      const pass = (chunk: Buffer) => {
        if (dead.has(from) || to.destroyed) return;
        if (from === target && loses()) return void client.resetAndDestroy();
        if (to.write(chunk) || delay > 0) return;
        from.pause(); // whoever does not read is felt by whoever writes, as without a way in between
        to.once('drain', () => from.resume());
      };
      const waiting: { chunk: Buffer; due: number }[] = []; // in order also when the delay becomes shorter
      const drain = () => {
        while (waiting[0] && waiting[0].due <= performance.now() + 1) pass(waiting.shift()!.chunk);
        if (waiting[0]) setTimeout(drain, waiting[0].due - performance.now());
      };
      from.on('data', (chunk) => {
        if (delay === 0 && waiting.length === 0) return pass(chunk);
        const due = Math.max(performance.now() + delay, waiting.at(-1)?.due ?? 0);
        if (waiting.push({ chunk, due }) === 1) setTimeout(drain, delay);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        alive.delete(from);
        if (!dead.has(from)) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (how: 'reset' | 'end' = 'reset') => {
    for (const socket of [...alive, ...dead]) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroy();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    shut() {
      isShut = true;
      cut();
    },
    open() {
      isShut = false;
    },
    slow(ms) {
      delay = ms;
    },
    deaden() {
      for (const socket of alive) dead.add(socket);
    },
    loseAnswers(when) {
      loses = when;
    },
    async stop() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
