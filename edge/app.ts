import { Hono } from 'hono/tiny'; // 3 KB less to load than with routers for hundreds of routes
import { authenticated } from './auth.ts';
import type { Edge, Vars } from './context.ts';
import { cors, dressed } from './headers.ts';
import { answerError, answerUnserved } from './problem.ts';
import { describe, health } from './routes/about.ts';
import { publishBatch } from './routes/batch.ts';
import { purgeHistory, readHistory, readMessage } from './routes/history.ts';
import { publishMessage } from './routes/messages.ts';
import { revokeCredential } from './routes/revocations.ts';
import { mintToken } from './routes/tokens.ts';

/** The whole HTTP API of the edge. */
export function createApp(edge: Edge): Hono<Vars> {
  const app = new Hono<Vars>();
  app.onError(answerError(edge));
  app.notFound(answerUnserved(app.router));
  app.use(dressed(edge));
  app.use(cors(edge.settings.allowedOrigins));
  app.use('/v1/*', authenticated(edge));

  app.post('/v1/channels/:channel/messages', publishMessage(edge));
  app.get('/v1/channels/:channel/messages', readHistory(edge));
  app.delete('/v1/channels/:channel/messages', purgeHistory(edge));
  app.get('/v1/channels/:channel/messages/:id', readMessage(edge));
  app.post('/v1/messages', publishBatch(edge));
  app.post('/v1/tokens', mintToken(edge));
  app.post('/v1/revocations', revokeCredential(edge));

  app.get('/openapi.json', describe);
  app.get('/healthz', health);
  return app;
}
