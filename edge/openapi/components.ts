import * as z from 'zod/mini';
import { problems } from '../../shared/errors.ts';
import { limits } from '../../shared/limits.ts';
import * as schema from '../schema.ts';

/** JSON Schema or a part of the OpenAPI document: plain JSON. */
export type Json = Record<string, unknown>;

const idPattern = '^[a-z0-9]{1,24}-[0-9]{1,15}-[0-9]{1,10}$';
const channelText = '[A-Za-z0-9_.~-]{1,64}(:[A-Za-z0-9_.~-]{1,64}){0,15}';

/** What the schemas leave to code. */
const duration = { type: ['string', 'number'] };

/** The schemas that check requests, by their names in the document. Names and grammars that only code can check are said here. */
export function requestSchemas(): Record<string, Json> {
  const registry = z.registry<Json & { id?: string }>();
  registry.add(schema.channel, {
    id: 'Channel',
    description: 'No segment is "." or "..".',
    pattern: `^${channelText}$`,
    maxLength: limits.channelCharsMax,
  });
  registry.add(schema.pattern, {
    id: 'Pattern',
    description: 'At most 3 "*", each for any characters.',
    pattern: '^[A-Za-z0-9_.~:*-]{1,255}$',
  });
  registry.add(schema.envelope, {
    id: 'Envelope',
  });
  registry.add(schema.batchItem, { id: 'BatchItem' });
  registry.add(schema.tokenRequest.shape.ttl, duration);
  registry.add(schema.tokenRequest, {
    id: 'TokenRequest',
  });
  registry.add(schema.revocationRequest, {
    id: 'RevocationRequest',
    description: 'One of key (its id), jti and sub; before (ms, default now) with sub.',
  });
  for (const [name, description] of Object.entries(optionMeanings)) {
    registry.add(schema.options[name as schema.OptionName], { description, ...(name === 'ttl' && duration) });
  }
  const { schemas } = z.toJSONSchema(registry, { io: 'input', metadata: registry, uri: refTo });
  return Object.fromEntries(Object.entries(schemas).map(([id, made]) => [id, embedded(made as Json)]));
}

export const optionMeanings: Record<schema.OptionName, string> = {
  type: 'Default: message.',
  priority: 'Default: normal.',
  key: 'A label.',
  store: 'no: sent, not kept.',
  ttl: '1s to 30d; a bare number is seconds.',
  source: 'Who publishes.',
};

/** A single option's schema, as a header or query parameter takes it: text. */
export function optionSchema(name: schema.OptionName): Json {
  if (name === 'store') return { type: 'string', enum: ['yes', 'no', 'true', 'false'] };
  if (name === 'ttl') return { type: 'string', examples: ['10m'] };
  return embedded(z.toJSONSchema(schema.options[name], { io: 'input' }) as Json);
}

/** What is answered. */
export function answerSchemas(): Record<string, Json> {
  const id = { type: 'string', pattern: idPattern };
  const nullableId = { type: ['string', 'null'], pattern: idPattern };
  const timestamp = { type: 'integer', description: 'Milliseconds.' };
  const published = {
    id: { $ref: refTo('Id') },
    channel: { $ref: refTo('Channel') },
    timestamp,
    stored: { const: false, description: 'Sent, not kept.' },
    degraded: { const: true, description: 'No id.' },
  };
  return {
    Id: { ...id, description: 'Opaque.' },
    Published: object(published, ['channel', 'timestamp']),
    BatchResults: object({
      results: {
        type: 'array',
        description: 'In order.',
        items: { anyOf: [{ $ref: refTo('Published') }, object({ problem: { $ref: refTo('Problem') } })] },
      },
    }),
    Message: messageSchema({ $ref: refTo('Id') }, timestamp),
    Gap: object({
      after: { ...id, description: 'Last before the hole.' },
      oldest: nullableId,
      reason: {
        enum: ['trimmed', 'expired', 'not-kept', 'epoch', 'rewind', 'ahead'],
        description: 'The last three: another history.',
      },
    }),
    History: object({
      items: { type: 'array', items: { $ref: refTo('Message') } },
      next: { ...nullableId, description: 'Ask on with it, as after or before.' },
      oldest: nullableId,
      gap: { anyOf: [{ $ref: refTo('Gap') }, { type: 'null' }] },
      cursor: { ...nullableId, description: 'Poll from here, as after.' },
    }),
    Token: object({ token: { type: 'string' }, expires: timestamp }),
    Problem: problemSchema(),
  };
}

function messageSchema(id: Json, timestamp: Json): Json {
  const text = { type: 'string' };
  return object(
    {
      id,
      channel: { $ref: refTo('Channel') },
      type: text,
      timestamp,
      expires: timestamp,
      priority: { enum: ['high', 'normal', 'low'] },
      source: text,
      key: text,
      contentType: text,
      replyTo: { $ref: refTo('Channel') },
      traceparent: text,
      meta: { type: 'object', additionalProperties: text },
      data: { description: 'Binary: {"$base64": "..."}.' },
    },
    ['id', 'channel', 'type', 'timestamp', 'data'],
  );
}

export const problemAnswer = {
  description: 'Refused.',
  content: { 'application/problem+json': { schema: { $ref: refTo('Problem') } } },
  headers: { 'Retry-After': { schema: { type: 'integer' } } },
};

function problemSchema(): Json {
  const text = { type: 'string' };
  return object(
    {
      type: text,
      title: text,
      status: { type: 'integer' },
      detail: text,
      code: { enum: Object.keys(problems) },
      requestId: text,
      errors: {
        type: 'array',
        description: 'By RFC 6901 pointer.',
        items: object({ pointer: text, detail: text }),
      },
    },
    ['type', 'title', 'status', 'detail', 'code'],
  );
}

export function refTo(id: string): string {
  return `#/components/schemas/${id}`;
}

function object(properties: Json, required: string[] = Object.keys(properties)): Json {
  return { type: 'object', properties, required };
}

/** A schema inside a document takes its dialect and its name from there. */
function embedded({ $schema: _dialect, $id: _id, id: _name, ...schema }: Json): Json {
  return schema;
}
