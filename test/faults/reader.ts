import { connect, type Socket } from 'node:net';
import { type Channel, matches, type Pattern } from '../../shared/channel.ts';

/** fast: reads what comes. slow: 64 KiB six times a second. byte: one byte a millisecond. stalled: nothing after `open`. */
export type Pace = 'fast' | 'slow' | 'byte' | 'stalled';

export interface ReaderOptions {
  /** Where to connect; asked at each connection. */
  url: () => string;
  subscription: string;
  pace?: Pace;
  /** How long to wait before coming back; `asked` is what the server's `retry:` said. */
  waitMs: (asked: number) => number;
}

export interface Received {
  id: string;
  channel: string;
  /** The publisher's own number of the message. */
  n: number;
  at: number;
}

/** What the stream said of a loss. `index`: how many messages had come before. */
export interface Alarm {
  kind: 'gap' | 'reset';
  at: number;
  index: number;
  channel?: string;
  after?: string;
  oldest?: string | null;
  reason: string;
  from?: string;
}

/** One reader on a bare socket: comes back by Last-Event-ID as a browser does, and writes down everything it is told. */
export class FaultReader {
  readonly subscription: string;
  /** Whether it reads as fast as it can from the first. */
  readonly isFast: boolean;
  readonly received: Received[] = [];
  readonly alarms: Alarm[] = [];
  /** When it first was told that its stream is open: whatever is published from then on is its due. */
  openedAt = Number.POSITIVE_INFINITY;
  /** Streams that were open and ended. */
  cuts = 0;
  isOpen = false;
  lastId = '';
  readonly #options: ReaderOptions;
  readonly #channels: Set<string>;
  readonly #patterns: Pattern[];
  #pace: Pace;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = 1_000;
  #text = '';
  #headSeen = false;
  #done = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.subscription = options.subscription;
    this.#pace = options.pace ?? 'fast';
    this.isFast = this.#pace === 'fast';
    const query = new URLSearchParams(options.subscription);
    this.#channels = new Set(query.getAll('channel'));
    this.#patterns = query.getAll('pattern') as Pattern[];
    this.#connect();
  }

  hears(channel: string): boolean {
    return this.#channels.has(channel) || this.#patterns.some((pattern) => matches(pattern, channel as Channel));
  }

  /** From now on it reads like the others. */
  hurry(): void {
    const before = this.#pace;
    this.#pace = 'fast';
    if (before === 'byte') this.cut();
    else this.#socket?.resume();
  }

  /** Loses its connection, and comes back. */
  cut(): void {
    this.#socket?.destroy();
  }

  stop(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #connect(): void {
    const { hostname, port } = new URL(this.#options.url());
    const oneByte = {
      buffer: Buffer.alloc(1),
      callback: (_n: number, byte: Uint8Array) => {
        this.#feed(String.fromCharCode(byte[0]!)); // our own messages are ASCII
        if (this.isOpen) setTimeout(() => socket.resume(), 1);
        return !this.isOpen;
      },
    };
    const isByte = this.#pace === 'byte';
    const socket = connect({ host: hostname, port: Number(port), ...(isByte && { onread: oneByte }) });
    this.#socket = socket;
    this.#text = '';
    this.#headSeen = false;
    const resume = this.lastId ? `Last-Event-ID: ${this.lastId}\r\n` : '';
    socket.write(`GET /v1/stream?${this.subscription} HTTP/1.1\r\nHost: relay\r\n${resume}\r\n`);
    if (!isByte) socket.setEncoding('utf8').on('data', (text) => this.#feed(String(text)));
    socket.on('error', () => undefined); // a broken connection is what this is about
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.isOpen) this.cuts++;
      this.isOpen = false;
      if (!this.#done) this.#timer = setTimeout(() => this.#connect(), this.#options.waitMs(this.#retryMs));
    });
  }

  #feed(text: string): void {
    this.#text += text;
    if (!this.#headSeen) {
      const end = this.#text.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#headSeen = true;
      this.#text = this.#text.slice(end + 4);
    }
    let start = 0;
    if (text.includes('\n')) {
      for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n', start)) {
        this.#block(this.#text.slice(start, end));
        start = end + 2;
      }
    }
    if (start > 0) this.#text = this.#text.slice(start);
    this.#rest();
  }

  #rest(): void {
    if (!this.isOpen || (this.#pace !== 'slow' && this.#pace !== 'stalled')) return;
    const socket = this.#socket!;
    socket.pause();
    if (this.#pace === 'slow') setTimeout(() => socket.resume(), 160);
  }

  #block(block: string): void {
    let event = '';
    let data: string | undefined;
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      const value = line.slice(colon + 2);
      const name = line.slice(0, colon);
      if (name === 'id') this.lastId = value;
      else if (name === 'data') data = value;
      else if (name === 'event') event = value.replace('edgewire.', '');
      else if (name === 'retry') this.#retryMs = Number(value);
    }
    const at = performance.now();
    if (event === 'open') {
      this.isOpen = true;
      if (this.openedAt === Number.POSITIVE_INFINITY) this.openedAt = at;
    } else if (event === 'gap' || event === 'reset') {
      this.alarms.push({ ...JSON.parse(data!), kind: event, at, index: this.received.length });
    } else if (event === '' && data !== undefined) {
      const [, id, channel] = /^\{"id":"([^"]+)","channel":"([^"]+)"/.exec(data)!;
      const n = Number(/"data":\[?(\d+)/.exec(data)![1]);
      this.received.push({ id: id!, channel: channel!, n, at });
    }
  }
}
