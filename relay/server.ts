import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { limits } from '../shared/limits.ts';
import { retryFrame } from '../shared/sse.ts';
import { allowedOrigin, corsHeaders, type Head } from './auth.ts';
import type { Sink } from './connection.ts';
import { problemOf } from './problem.ts';
import type { SocketEvents } from './readers.ts';
import { createRoutes, type RouteTools } from './routes.ts';
import { addressOf, type Seat, type Seats, seatOf } from './seats.ts';
import { readStreamRequest, STREAM_PATH, type StreamRequest } from './stream.ts';

export interface ServerTools extends RouteTools {
  /** Whether one more stream may be opened. */
  roomForMore(): boolean;
  seats: Seats;
  accept(sink: Sink, request: StreamRequest, seat: Seat | undefined): SocketEvents;
  retryMs(): number;
}

/** All HTTP of the relay: streams on the bare response, everything else through Hono. Does not listen yet. */
export function createRelayServer(tools: ServerTools): Server {
  const app = getRequestListener(createRoutes(tools).fetch, {
    overrideGlobalObjects: false,
    hostname: 'relay', // for HTTP/1.0 without Host, in which load balancers ask for /healthz
  });
  const server = createServer({ maxHeaderSize: limits.requestHeadBytesMax, requestTimeout: 30_000 }, (req, res) => {
    const path = req.url?.split('?', 1)[0];
    if (path === STREAM_PATH && req.method === 'GET') void serveStream(req, res, tools);
    else void app(req, res);
  });
  // A stream ends with its connection; a pooled connection costs 12 KB, so it is not kept for long.
  server.keepAliveTimeout = 5_000;
  return server;
}

async function serveStream(req: IncomingMessage, res: ServerResponse, tools: ServerTools): Promise<void> {
  const head = headOf(req);
  let cors: Record<string, string> = {};
  try {
    const origin = allowedOrigin(head, tools.config);
    if (origin) cors = corsHeaders(origin);
    const request = await readStreamRequest(head, tools, Date.now());
    // Pipelined behind an unfinished answer, a stream would be held back without bound: it is left unanswered.
    if (res.destroyed || !res.socket) return;
    const isShed = !tools.ready() || !tools.roomForMore();
    const seat = seatOf(request.grant, addressOf(req, tools.config.trustProxy), tools.config);
    if (!isShed) tools.seats.demand(seat);
    res.useChunkedEncodingByDefault = false; // the body ends with the connection
    res.shouldKeepAlive = false;
    res.writeHead(200, { ...STREAM_HEADERS, ...cors });
    if (isShed) return shed(res, tools);
    const { gone, stalled } = tools.accept(sinkOf(res), request, seat);
    res.once('close', gone);
    // The socket's own timer knows when bytes move, also within one large write; silence with nothing queued is no stall.
    res.setTimeout(limits.stallMsMax, () => res.writableLength > 0 && stalled());
  } catch (error) {
    const { status, headers, body } = problemOf(error, tools);
    if (res.headersSent) return void res.destroy();
    res.writeHead(status, { ...cors, ...headers });
    res.end(body);
  }
}

const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store, no-transform', // no-transform: a compressing proxy holds events back
  'X-Accel-Buffering': 'no', // nginx buffers responses unless told so
  'X-Content-Type-Options': 'nosniff',
};

/** Not now: a 200 that only says when to come back, because 503 would stop a native EventSource for ever. */
function shed(res: ServerResponse, { metrics, retryMs }: ServerTools): void {
  metrics.shed.inc();
  res.end(retryFrame(retryMs()));
}

function sinkOf(res: ServerResponse): Sink {
  return {
    write: (bytes, flushed) => void res.write(bytes, flushed),
    get pendingBytes() {
      return res.writableLength;
    },
    end: () => void res.end(),
    destroy: () => void res.destroy(),
  };
}

function headOf(req: IncomingMessage): Head {
  return {
    target: req.url ?? '',
    header(name) {
      const value = req.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
  };
}
