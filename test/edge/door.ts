import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Stands between the edge and the REST door of Redis: counts what passes, and can lose an answer on the way back. */
export interface Door {
  /** For UPSTASH_REDIS_REST_URL. */
  readonly url: string;
  /** The command of each request since the last look, in lower case. */
  taken(): string[];
  /** The next `count` requests are carried out, and their answers never arrive. */
  loseAnswers(count: number): void;
  /** The relay whose door it is; set before the first of them. */
  target: string;
  close(): Promise<void>;
}

export async function openDoor(): Promise<Door> {
  let commands: string[] = [];
  let losing = 0;
  const server = createServer((request, response) => {
    carry(request, response).catch(() => response.destroy()); // the edge hears of it as Redis being away
  });

  async function carry(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await request.toArray());
    commands.push(JSON.parse(body.toString())[0].toLowerCase());
    const { authorization = '' } = request.headers;
    const headers = { 'Content-Type': 'application/json', Authorization: authorization };
    const answer = await fetch(`${door.target}${request.url}`, { method: 'POST', headers, body });
    const text = await answer.text();
    if (losing > 0) {
      losing--;
      response.destroy();
    } else {
      response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(text);
    }
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const door: Door = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/redis`,
    target: '',
    taken() {
      const seen = commands;
      commands = [];
      return seen;
    },
    loseAnswers(count) {
      losing = count;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return door;
}
