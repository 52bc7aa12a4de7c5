import { type ProblemCode, problems } from '../../shared/errors.ts';
import { limits } from '../../shared/limits.ts';
import { envelopeType } from '../body.ts';
import type { OptionName } from '../schema.ts';
import { exampleId, type Json, optionMeanings, optionSchema, refTo } from './components.ts';

const optionNames = Object.keys(optionMeanings) as OptionName[];
const everywhere: ProblemCode[] = ['credential_invalid', 'internal'];
const withRedis: ProblemCode[] = ['redis_unavailable', 'channel_damaged'];
const reading: ProblemCode[] = ['channel_invalid', 'query_invalid', 'credential_missing', 'not_granted', ...withRedis];
const writing: ProblemCode[] = ['header_invalid', 'body_invalid', 'body_too_large', 'content_type_unsupported'];
const publishing: ProblemCode[] = ['envelope_invalid', 'idempotency_conflict', 'rate_limited', 'redis_full'];

const asking: ProblemCode[] = ['credential_missing', 'not_granted', 'query_invalid', 'envelope_invalid', ...writing];

/** Every route. */
export function paths(): Json {
  const id = { name: 'id', in: 'path', required: true, schema: { $ref: refTo('Id') } };
  return {
    '/v1/channels/{channel}/messages': {
      parameters: [channelInPath],
      post: publishOperation(),
      get: historyOperation(),
      delete: operation('purge', 'Forget what the channel keeps', ['admin'], [], reading, {
        204: { description: 'Nothing is kept any more. Readers who had not seen all of it are told of a gap.' },
      }),
    },
    '/v1/channels/{channel}/messages/{id}': {
      parameters: [channelInPath, id],
      get: operation('readMessage', 'One message', ['read'], [], [...reading, 'cursor_invalid', 'message_unknown'], {
        200: answer('The message.', 'Message', messageExample),
      }),
    },
    '/v1/messages': { post: batchOperation() },
    '/v1/tokens': { post: tokenOperation() },
    '/v1/revocations': { post: revokeOperation() },
    '/openapi.json': { get: open('describe', 'This document', { type: 'object' }) },
    '/healthz': { get: open('health', 'Whether the edge runs', { const: { status: 'ok' } }) },
  };
}

const channelInPath = { name: 'channel', in: 'path', required: true, schema: { $ref: refTo('Channel') } };
const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'Publishing twice with one key publishes once: the first answer again for 24 hours. Best a fresh UUID.',
  schema: { type: 'string', minLength: 1, maxLength: limits.idempotencyKeyCharsMax },
};
const traceparent = {
  name: 'traceparent',
  in: 'header',
  description: 'W3C Trace Context.',
  schema: { type: 'string' },
};

const messageExample = {
  id: exampleId,
  channel: 'notify:user:42',
  type: 'task_reviewed',
  timestamp: 1795147200000,
  data: { task: 7 },
};
const { id, channel, timestamp } = messageExample;
const publishedExample = { id, channel, timestamp };

function publishOperation(): Json {
  const options = optionNames.flatMap((name) => {
    const shared = { description: optionMeanings[name], schema: optionSchema(name) };
    return [
      { name: `Edgewire-${name.charAt(0).toUpperCase()}${name.slice(1)}`, in: 'header', ...shared },
      { name, in: 'query', ...shared },
    ];
  });
  const meta = {
    description: `A label of the message, <name> of a-z 0-9 _ . -; at most ${limits.metaEntriesMax}. Percent-encoded in headers.`,
    schema: { type: 'string', maxLength: limits.metaValueCharsMax },
  };
  const parameters = [
    ...options,
    { name: 'Edgewire-Meta-<name>', in: 'header', ...meta },
    { name: 'meta-<name>', in: 'query', ...meta },
    idempotencyKey,
    traceparent,
  ];
  const problemCodes = [...reading, ...writing, ...publishing];
  return {
    ...operation('publish', 'Publish one message: the body is its data', ['publish'], parameters, problemCodes, {
      200: {
        ...answer('Published before with this Idempotency-Key: the same answer.', 'Published', publishedExample),
        headers: { 'Idempotent-Replayed': { schema: { const: 'true' } } },
      },
      201: {
        ...answer('Kept in history and handed to readers.', 'Published', publishedExample),
        headers: { Location: { schema: { type: 'string' } } },
      },
      202: answer('Handed to readers, not kept.', 'Published', { ...publishedExample, stored: false }),
    }),
    requestBody: {
      required: true,
      description: `At most ${limits.bodyBytesMax} bytes. Any other media type is binary: {"$base64": "..."}.`,
      content: {
        'application/json': { schema: {}, example: { task: 7 } },
        'text/plain': { schema: { type: 'string' }, example: 'hello' },
        'application/x-www-form-urlencoded': { schema: { type: 'object' } },
        'application/octet-stream': { schema: { contentMediaType: 'application/octet-stream' } },
        [envelopeType]: { schema: { $ref: refTo('Envelope') } },
      },
    },
  };
}

function batchOperation(): Json {
  const codes: ProblemCode[] = ['credential_missing', 'query_invalid', ...withRedis, ...writing, ...publishing];
  const items = { type: 'array', minItems: 1, maxItems: limits.batchMessagesMax, items: { $ref: refTo('BatchItem') } };
  const example = { results: [publishedExample] };
  return {
    ...operation('publishBatch', 'Publish many messages', ['publish'], [idempotencyKey, traceparent], codes, {
      200: answer('Each item answered by itself.', 'BatchResults', example),
    }),
    requestBody: body({ 'application/json': { schema: items }, [envelopeType]: { schema: items } }),
  };
}

function historyOperation(): Json {
  const query = (name: string, description: string, schema: Json) => ({ name, in: 'query', description, schema });
  const id = { $ref: refTo('Id') };
  const limit = { type: 'integer', minimum: 1, maximum: limits.historyItemsMax, default: limits.historyItemsDefault };
  const parameters = [
    query('after', 'Messages after this one. Loss behind it is told in gap. Not with since.', id),
    query('before', 'Messages before this one.', id),
    query('since', 'Messages since so long ago, or since an RFC 3339 time.', { type: 'string', examples: ['10m'] }),
    query('limit', 'At most so many; a page may end earlier by its bytes.', limit),
    query('order', 'Default: asc with after or since, else desc (newest first).', { enum: ['asc', 'desc'] }),
  ];
  const example = { items: [messageExample], next: null, oldest: exampleId, gap: null };
  const codes = [...reading, 'cursor_invalid'] as ProblemCode[];
  return operation('readHistory', 'What the channel keeps', ['read'], parameters, codes, {
    200: answer('One page.', 'History', example),
  });
}

function revokeOperation(): Json {
  return {
    ...operation(
      'revoke',
      'End a key, a token, or the older tokens of a subject',
      ['admin'],
      [],
      [...asking, 'rate_limited', 'redis_unavailable'],
      {
        204: { description: 'Refused from now on; streams end within a second.' },
      },
    ),
    requestBody: body({ 'application/json': { schema: { $ref: refTo('RevocationRequest') } } }),
  };
}

function tokenOperation(): Json {
  const codes: ProblemCode[] = [...asking, 'redis_unavailable'];
  return {
    ...operation('mintToken', 'A token for a reader', ['mint', 'read', 'publish'], [], codes, {
      201: answer('A JWT that allows what was asked until expires.', 'Token', {
        token: 'eyJhbGci...',
        expires: timestamp,
      }),
    }),
    requestBody: body({ 'application/json': { schema: { $ref: refTo('TokenRequest') } } }),
  };
}

function operation(
  operationId: string,
  summary: string,
  scopes: string[],
  parameters: Json[],
  codes: ProblemCode[],
  answers: Json,
): Json {
  const security = scopes[0] === 'read' ? [{ bearer: scopes }, {}] : [{ bearer: scopes }];
  return { operationId, summary, security, parameters, responses: { ...answers, ...refusals(codes) } };
}

function open(operationId: string, summary: string, schema: Json): Json {
  const content = { 'application/json': { schema } };
  return { operationId, summary, security: [], responses: { 200: { description: summary, content } } };
}

/** One response for each status, naming its codes. */
function refusals(codes: ProblemCode[]): Json {
  const byStatus: Json = {};
  for (const code of [...codes, ...everywhere]) {
    const { status } = problems[code];
    const before = byStatus[status] as { description: string } | undefined;
    byStatus[status] = {
      description: before ? `${before.description}, ${code}` : code,
      content: { 'application/problem+json': { schema: { $ref: refTo('Problem') } } },
      ...((status === 429 || status === 503) && { headers: { 'Retry-After': { schema: { type: 'integer' } } } }),
    };
  }
  return byStatus;
}

function body(content: Json): Json {
  return { required: true, content };
}

function answer(description: string, schema: string, example: Json): Json {
  return { description, content: { 'application/json': { schema: { $ref: refTo(schema) }, example } } };
}
