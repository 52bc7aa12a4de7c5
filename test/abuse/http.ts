import { Agent, request } from 'node:http';
import { connect } from 'node:net';

/** A request as it is to be sent; nothing is added to it but Host, Connection and the body's length. */
export interface Asked {
  method?: string;
  /** Path and query, as they stand in the request line. */
  path: string;
  headers?: Record<string, string | string[]>;
  body?: string | Uint8Array | undefined;
  /** Whether the body is sent in chunks, its length unannounced. */
  chunked?: boolean;
}

export interface Answered {
  status: number;
  /** Lower-case names; what came several times is joined by commas. */
  headers: Record<string, string>;
  body: string;
}

/** Connections kept between requests, as a publisher's would be. */
export const keptAlive = new Agent({ keepAlive: true, maxSockets: 16 });

/** Sends through Node's client. A stream is cut at its first block, which is then the body. */
export function send(base: string, { method = 'GET', path, headers = {}, body, chunked }: Asked): Promise<Answered> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const length = body === undefined || chunked ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const sent = request({ hostname, port, method, path, headers: { ...length, ...headers }, agent: keptAlive });
    let over = false;
    sent.on('error', (error) => over || reject(error)); // a server that refuses early may close while we still send
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      const settle = () => {
        over = true;
        const { statusCode: status = 0 } = response;
        resolve({ status, headers: response.headers as Record<string, string>, body: `${Buffer.concat(chunks)}` });
      };
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (!response.headers['content-type']?.startsWith('text/event-stream')) return;
        settle();
        sent.destroy();
      });
      response.on('end', settle);
      response.on('error', (error) => over || reject(error));
    });
    if (chunked) {
      const bytes = Buffer.from(body ?? '');
      for (let at = 0; at < bytes.length; at += 50_000) sent.write(bytes.subarray(at, at + 50_000));
      sent.end();
    } else {
      sent.end(body);
    }
  });
}

/** The bytes of a request as HTTP/1.1 has them, with whatever they hold: names and values are not looked at. */
export function wire({ method = 'GET', path, headers = {}, body = '' }: Asked, host = '127.0.0.1'): Buffer {
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`));
  const bytes = Buffer.from(body);
  const length = method === 'GET' || 'Content-Length' in headers ? [] : [`Content-Length: ${bytes.length}`];
  const named = 'Host' in headers ? [] : [`Host: ${host}`];
  const head = [`${method} ${path} HTTP/1.1`, ...named, ...length, ...lines, 'Connection: close', '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head), bytes]);
}

/** Writes bytes to a socket and reads answers until the server closes, `count` of them have come, or it is silent for `quietMs`. */
export function sendBytes(
  base: string,
  bytes: Uint8Array | string,
  { count = 1, quietMs = 3_000, half = false } = {},
): Promise<Answered[]> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const socket = connect(Number(port), hostname, () => (half ? socket.end(bytes) : socket.write(bytes)));
    const settle = () => {
      socket.destroy();
      resolve(answersIn(received, true));
    };
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (answersIn(received, false).length >= count) settle();
    });
    socket.on('error', settle);
    socket.on('close', settle);
    socket.setTimeout(quietMs, settle);
  });
}

/** The complete answers in `bytes`; with `over` also one that ends with the connection. */
function answersIn(bytes: Buffer, over: boolean): Answered[] {
  const answers: Answered[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return answers;
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(first.split(' ')[1]);
    rest = rest.subarray(end + 4);
    if (status < 200) continue; // 100 Continue
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
    const body = bodyIn(rest, headers, over);
    if (!body) return answers;
    answers.push({ status, headers, body: body.text });
    rest = rest.subarray(body.bytes);
  }
}

function bodyIn(rest: Buffer, headers: Record<string, string>, over: boolean) {
  if (headers['content-length'] !== undefined) {
    const length = Number(headers['content-length']);
    return rest.length < length ? undefined : { text: rest.subarray(0, length).toString(), bytes: length };
  }
  if (headers['transfer-encoding'] !== 'chunked') {
    const isStream = headers['content-type']?.startsWith('text/event-stream') && rest.includes('\n\n');
    return over || isStream ? { text: rest.toString(), bytes: rest.length } : undefined;
  }
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const end = rest.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const size = Number.parseInt(rest.subarray(at, end).toString(), 16);
    if (rest.length < end + 2 + size + 2) return undefined;
    chunks.push(rest.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
    if (size === 0) return { text: Buffer.concat(chunks).toString(), bytes: at };
  }
}
