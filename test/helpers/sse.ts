import { type ClientRequest, get, type IncomingMessage } from 'node:http';

/** One block of a stream, fields as sent; unlike an EventSource it shows blocks without data. */
export interface Block {
  id?: string;
  event?: string;
  data?: string;
  retry?: number;
}

/** A stream read block by block, without reconnecting. */
export interface TestStream {
  status: number;
  headers: IncomingMessage['headers'];
  blocks: Block[];
  /** The newest id, as a browser would send it back. */
  lastId: string | undefined;
  /** Resolves once `holds(blocks)`; rejects when the stream ends before, or after `timeoutMs` with what was seen. */
  until(holds: (blocks: Block[]) => boolean, timeoutMs?: number): Promise<Block[]>;
  /** Resolves when the stream has ended, however. */
  ended: Promise<void>;
  /** Cuts the connection, now. */
  cut(): void;
}

/** Opens a stream; resolves with its headers. A response that is no stream has its body in `blocks[0].data`. */
export function openStream(url: string, headers: Record<string, string> = {}): Promise<TestStream> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { Accept: 'text/event-stream', ...headers }, agent: false }, (response) =>
      resolve(readStream(request, response)),
    );
    request.on('error', reject);
  });
}

function readStream(request: ClientRequest, response: IncomingMessage): TestStream {
  const waiting = new Set<() => void>();
  let over = false;
  let text = '';
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const stream: TestStream = {
    status: response.statusCode ?? 0,
    headers: response.headers,
    blocks: [],
    lastId: undefined,
    ended,
    cut: () => request.destroy(),
    until(holds, timeoutMs = 15_000) {
      return new Promise((resolve, reject) => {
        const fail = (why: string) => {
          waiting.delete(check);
          clearTimeout(timer);
          reject(new Error(`${why}; the stream had ${JSON.stringify(stream.blocks).slice(-1_500)}`));
        };
        const check = () => {
          if (holds(stream.blocks)) {
            waiting.delete(check);
            clearTimeout(timer);
            resolve(stream.blocks);
          } else if (over) fail('the stream ended');
        };
        const timer = setTimeout(() => fail(`not seen in ${timeoutMs} ms`), timeoutMs);
        waiting.add(check);
        check();
      });
    },
  };
  const settle = () => {
    for (const check of [...waiting]) check();
  };
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
    if (!response.headers['content-type']?.startsWith('text/event-stream')) {
      stream.blocks = [{ data: text }];
      return;
    }
    for (let at = text.indexOf('\n\n'); at >= 0; at = text.indexOf('\n\n')) {
      const block = parseBlock(text.slice(0, at));
      text = text.slice(at + 2);
      stream.blocks.push(block);
      if (block.id !== undefined) stream.lastId = block.id;
    }
    settle();
  });
  response.on('error', () => undefined); // a cut connection is what many tests are about
  response.on('close', () => {
    over = true;
    end();
    settle();
  });
  return stream;
}

function parseBlock(text: string): Block {
  const block: Block = {};
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).replace(/^ /, '');
    const name = line.slice(0, colon);
    if (name === 'id') block.id = value;
    else if (name === 'event') block.event = value;
    else if (name === 'retry') block.retry = Number(value);
    else if (name === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
  }
  return block;
}

/** The messages among blocks: those with an id and data. */
export function messagesOf(blocks: readonly Block[]): { id: string; channel: string; data: unknown; type: string }[] {
  return blocks.filter((b) => b.id !== undefined && b.data !== undefined).map((b) => JSON.parse(b.data!));
}

/** The control events of one kind, parsed. */
export function controlsOf(blocks: readonly Block[], event: 'open' | 'gap' | 'reset' | 'bye' | 'expired') {
  return blocks.filter((b) => b.event === `edgewire.${event}`).map((b) => JSON.parse(b.data!));
}

export function isLive(blocks: readonly Block[]): boolean {
  return blocks.some((b) => b.event === 'edgewire.open');
}
