import * as z from 'zod/mini';
import type { Channel } from '../shared/channel.ts';
import { type Fault, Refusal } from '../shared/errors.ts';
import { compose, type Priority } from '../shared/message.ts';
import { retentionOf } from '../shared/retention.ts';
import type { Outgoing } from '../shared/scripts/publish.ts';
import type { Settings } from '../shared/settings.ts';
import { memberOf, oneLine } from './json.ts';
import { metaOf, type Said } from './options.ts';
import { type EnvelopeFields, type OptionName, options } from './schema.ts';

/** One message as the caller gave it, checked, whatever form it came in. */
export interface Given {
  /** One line of JSON. */
  data: string;
  said: Said;
  contentType?: string | undefined;
  replyTo?: Channel | undefined;
  traceparent?: string | undefined;
}

/** The fields of an envelope, its data cut out of `text` to the letter. `text` is the JSON that `fields` were parsed from. */
export function givenIn(fields: EnvelopeFields, text: string): Given {
  const said = new Map<string, string | number | boolean>();
  for (const name of Object.keys(options) as OptionName[]) {
    const value = fields[name];
    if (value !== undefined) said.set(name, value);
  }
  for (const [name, value] of Object.entries(fields.meta ?? {})) said.set(`meta-${name}`, value);
  const { contentType, replyTo, traceparent } = fields;
  return { data: oneLine(memberOf(text, 'data')!), said, contentType, replyTo, traceparent };
}

/** What the publish scripts take: the message composed, and how long its channel keeps it. */
export function outgoing(channel: Channel, given: Given, { retention }: Settings): Outgoing {
  const { said, contentType, replyTo, traceparent } = given;
  const { priority, source, key } = Object.fromEntries(said) as { priority?: Priority; source?: string; key?: string };
  const meta = metaOf(said);
  const kept = retentionOf(retention, channel);
  return {
    channel,
    ...compose({
      channel,
      type: String(said.get('type') ?? 'message'),
      json: given.data,
      ...(priority !== undefined && { priority }),
      ...(source !== undefined && { source }),
      ...(key !== undefined && { key }),
      ...(contentType !== undefined && { contentType }),
      ...(replyTo !== undefined && { replyTo }),
      ...(traceparent !== undefined && { traceparent }),
      ...(meta.length > 0 && { meta: Object.fromEntries(meta) }),
    }),
    length: said.get('store') === false ? 0 : kept.length,
    keepMs: kept.keepMs,
    ttlMs: Number(said.get('ttl') ?? 0),
  };
}

/** `value` as `schema` has it. Throws envelope_invalid with every fault; `at` is the pointer to the value in the body. */
export function fitting<Schema extends z.ZodMiniType>(schema: Schema, value: unknown, at = ''): z.output<Schema> {
  const result = z.safeParse(schema, value);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) => faultsOf(issue, at));
  throw new Refusal('envelope_invalid', `Correct the JSON: ${errors[0]!.detail} "errors" says where.`, { errors });
}

function faultsOf(issue: z.core.$ZodIssue, at: string): Fault[] {
  const pointer = at + pointerTo(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ pointer: pointer + pointerTo([key]), detail: issue.message }));
  }
  if (issue.code === 'invalid_key') return [{ pointer, detail: issue.issues[0]!.message }];
  // The only fault that the schemas cannot put into words themselves.
  const isMissing = issue.code === 'invalid_type' && (issue.expected as string) === 'nonoptional';
  return [{ pointer, detail: isMissing ? 'This field is required.' : issue.message }];
}

/** RFC 6901. A name is the caller's own text, so no more of it comes back than shows where to look. */
function pointerTo(path: readonly PropertyKey[]): string {
  return path.map((step) => `/${String(step).slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
