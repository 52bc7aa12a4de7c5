import { limits } from '../../shared/limits.ts';
import { envelopeType } from '../body.ts';
import type { OptionName } from '../schema.ts';
import { type Json, optionMeanings, optionSchema, refTo } from './components.ts';

const optionNames = Object.keys(optionMeanings) as OptionName[];

/** Every route. */
export function paths(): Json {
  const id = { name: 'id', in: 'path', required: true, schema: { $ref: refTo('Id') } };
  return {
    '/v1/channels/{channel}/messages': {
      parameters: [channelInPath],
      post: publishOperation(),
      get: historyOperation(),
      delete: operation('purge', 'Forget what the channel keeps', ['admin'], [], {
        204: { description: 'Nothing is kept any more.' },
      }),
    },
    '/v1/channels/{channel}/messages/{id}': {
      parameters: [channelInPath, id],
      get: operation('readMessage', 'One message', ['read'], [], {
        200: answer('The message.', 'Message'),
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
  description: 'Best a fresh UUID.',
  schema: { type: 'string', minLength: 1, maxLength: limits.idempotencyKeyCharsMax },
};
const traceparent = {
  name: 'traceparent',
  in: 'header',
  description: 'W3C Trace Context.',
  schema: { type: 'string' },
};

function publishOperation(): Json {
  const options = optionNames.flatMap((name) => {
    const shared = { description: optionMeanings[name], schema: optionSchema(name) };
    return [
      { name: `Edgewire-${name.charAt(0).toUpperCase()}${name.slice(1)}`, in: 'header', ...shared },
      { name, in: 'query', schema: shared.schema },
    ];
  });
  const meta = {
    description: `At most ${limits.metaEntriesMax}. Percent-encoded in headers.`,
    schema: { type: 'string', maxLength: limits.metaValueCharsMax },
  };
  const parameters = [
    ...options,
    { name: 'Edgewire-Meta-<name>', in: 'header', ...meta },
    { name: 'meta-<name>', in: 'query', schema: meta.schema },
    idempotencyKey,
    traceparent,
  ];
  return {
    ...operation('publish', 'Publish one message: the body is its data', ['publish'], parameters, {
      200: {
        ...answer('The first answer again.', 'Published'),
        headers: { 'Idempotent-Replayed': { schema: { const: 'true' } } },
      },
      201: {
        ...answer('Kept and sent.', 'Published'),
        headers: { Location: { schema: { type: 'string' } } },
      },
      202: answer('Sent, not kept.', 'Published'),
    }),
    requestBody: {
      required: true,
      description: `At most ${limits.bodyBytesMax} bytes. Any other media type is binary.`,
      content: {
        'application/json': { schema: {} },
        'text/plain': { schema: { type: 'string' } },
        'application/x-www-form-urlencoded': { schema: { type: 'object' } },
        'application/octet-stream': { schema: { contentMediaType: 'application/octet-stream' } },
        [envelopeType]: { schema: { $ref: refTo('Envelope') } },
      },
    },
  };
}

function batchOperation(): Json {
  const items = { type: 'array', minItems: 1, maxItems: limits.batchMessagesMax, items: { $ref: refTo('BatchItem') } };
  return {
    ...operation('publishBatch', 'Publish many messages', ['publish'], [idempotencyKey, traceparent], {
      200: answer('Each item answered by itself.', 'BatchResults'),
    }),
    requestBody: body({ 'application/json': { schema: items }, [envelopeType]: { schema: items } }),
  };
}

function historyOperation(): Json {
  const query = (name: string, description: string, schema: Json) => ({ name, in: 'query', description, schema });
  const id = { $ref: refTo('Id') };
  const limit = { type: 'integer', minimum: 1, maximum: limits.historyItemsMax, default: limits.historyItemsDefault };
  const parameters = [
    query('after', 'Not with since.', id),
    { name: 'before', in: 'query', schema: id },
    query('since', 'A duration, or an RFC 3339 time.', { type: 'string', examples: ['10m'] }),
    { name: 'limit', in: 'query', schema: limit },
    query('order', 'Default: asc with after or since, else desc.', { enum: ['asc', 'desc'] }),
  ];
  return operation('readHistory', 'What the channel keeps', ['read'], parameters, {
    200: answer('One page.', 'History'),
  });
}

function revokeOperation(): Json {
  return {
    ...operation('revoke', 'Revoke a key or tokens', ['admin'], [], {
      204: { description: 'Done.' },
    }),
    requestBody: body({ 'application/json': { schema: { $ref: refTo('RevocationRequest') } } }),
  };
}

function tokenOperation(): Json {
  return {
    ...operation('mintToken', 'A token for a reader', ['mint', 'read', 'publish'], [], {
      201: answer('A JWT.', 'Token'),
    }),
    requestBody: body({ 'application/json': { schema: { $ref: refTo('TokenRequest') } } }),
  };
}

function operation(operationId: string, summary: string, scopes: string[], parameters: Json[], answers: Json): Json {
  const security = scopes[0] === 'read' ? [{ bearer: scopes }, {}] : [{ bearer: scopes }];
  return {
    operationId,
    summary,
    security,
    parameters,
    responses: { ...answers, default: { $ref: '#/components/responses/Problem' } },
  };
}

function open(operationId: string, summary: string, schema: Json): Json {
  const content = { 'application/json': { schema } };
  return { operationId, summary, security: [], responses: { 200: { description: summary, content } } };
}

function body(content: Json): Json {
  return { required: true, content };
}

function answer(description: string, schema: string): Json {
  return { description, content: { 'application/json': { schema: { $ref: refTo(schema) } } } };
}
