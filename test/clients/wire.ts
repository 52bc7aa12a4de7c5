import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A way from one program to another that can be cut: bytes pass as they are. */
export interface Wire {
  readonly url: string;
  /** Where it leads: any URL with a host and a port. */
  target: string;
  /** While it is false whoever comes is turned away. */
  open: boolean;
  /** Requests so far: the first and each return. */
  readonly connections: number;
  /** Ends every connection at once, as a lost network would. */
  cut(): void;
  close(): Promise<void>;
}

export async function layWire(target: string): Promise<Wire> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((near) => {
    connections++;
    if (!wire.open) return near.resetAndDestroy();
    const { port, hostname } = new URL(wire.target);
    const far = connect(Number(port), hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined); // it is cut: `close` follows
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of [...sockets]) socket.resetAndDestroy();
  };
  const wire: Wire = {
    target,
    open: true,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    cut,
    async close() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
  return wire;
}
