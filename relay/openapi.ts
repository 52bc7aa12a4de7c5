import { problems } from '../shared/errors.ts';
import { limits } from '../shared/limits.ts';

/** OpenAPI 3.1 of the relay. What travels inside a stream is not OpenAPI's to say; `docs/protocol.md` says it. */
export function describeRelay(): object {
  const query = (name: string, description: string, schema: object, more: object = {}) => ({
    name,
    in: 'query',
    description,
    schema,
    ...more,
  });
  const many = (maxItems: number) => ({
    type: 'array',
    items: { type: 'string', maxLength: limits.channelCharsMax },
    maxItems,
  });
  const problem = (description: string) => ({
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  });
  return {
    openapi: '3.1.0',
    info: { title: 'Edgewire relay', version: '1', description: 'Receive: one EventSource, many channels.' },
    security: [{}, { bearer: [] }, { token: [] }, { cookie: [] }],
    paths: {
      '/v1/stream': {
        get: {
          summary: 'Receive messages as Server-Sent Events',
          parameters: [
            query('channel', 'A channel; repeatable', many(limits.streamChannelsMax), { explode: true }),
            query('pattern', 'A pattern such as user:*; repeatable', many(limits.streamPatternsMax), { explode: true }),
            query('cursor', 'Read on after this message id', { type: 'string' }),
            query('since', 'Begin so long ago: 90s, 10m, 2h, 1d', { type: 'string' }),
            query('rewind', 'Begin with the newest n kept messages of each channel', {
              type: 'integer',
              minimum: 1,
              maximum: limits.rewindMessagesMax,
            }),
            {
              name: 'Last-Event-ID',
              in: 'header',
              description: 'As a browser sends it; goes before cursor',
              schema: { type: 'string' },
            },
          ],
          responses: {
            200: {
              description: 'The stream; see docs/protocol.md',
              content: { 'text/event-stream': { schema: { type: 'string' } } },
            },
            400: problem('A name or parameter is wrong'),
            401: problem('The credential is missing or wrong'),
            403: problem('Something asked for is not granted, or the origin is not allowed'),
            429: problem('Too many streams of this subject, key or address'),
          },
        },
      },
      '/v1/session': {
        post: {
          summary: 'Keep the bearer token in a cookie of this host',
          security: [{ bearer: [] }],
          responses: {
            204: { description: 'Kept until the token expires' },
            401: problem('The token is missing or wrong'),
          },
        },
        delete: { summary: 'Drop the cookie', responses: { 204: { description: 'Dropped' } } },
      },
      '/healthz': { get: { summary: 'The process lives', responses: { 200: { description: 'Yes' } } } },
      '/readyz': {
        get: {
          summary: 'Streams would hear everything',
          responses: {
            200: { description: 'Yes; `warnings` names what is wrong and does not stop it' },
            503: { description: 'The subscription to Redis is not whole' },
          },
        },
      },
      '/metrics': { get: { summary: 'Prometheus metrics', responses: { 200: { description: 'Text format' } } } },
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key or a token' },
        token: { type: 'apiKey', in: 'query', name: 'token', description: 'For EventSource, which cannot set headers' },
        cookie: { type: 'apiKey', in: 'cookie', name: '__Host-edgewire' },
      },
      schemas: {
        Problem: {
          type: 'object',
          required: ['type', 'title', 'status', 'detail', 'code'],
          properties: {
            type: { type: 'string' },
            title: { type: 'string' },
            status: { type: 'integer' },
            detail: { type: 'string' },
            code: { enum: Object.keys(problems) },
            requestId: { type: 'string' },
          },
        },
      },
    },
  };
}
