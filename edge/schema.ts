import * as z from 'zod/mini';
import { type Channel, channelRule, type Pattern, parseChannel, parsePattern, patternRule } from '../shared/channel.ts';
import { parseDuration } from '../shared/duration.ts';
import { limits } from '../shared/limits.ts';
import { parseMediaType } from './media.ts';

/** What callers may send: these schemas check requests, and `/openapi.json` is made of them. Each message says what to do. */

export const channel = z.pipe(
  z.string(channelRule).check(z.refine((text) => parseChannel(text) !== undefined, channelRule)),
  z.transform((text) => text as Channel),
);
export const pattern = z.pipe(
  z.string(patternRule).check(z.refine((text) => parsePattern(text) !== undefined, patternRule)),
  z.transform((text) => text as Pattern),
);

const typeRule = `Use 1 to ${limits.typeCharsMax} of A-Z a-z 0-9 _ . ~ : / -.`;
const type = z.string(typeRule).check(z.regex(/^[A-Za-z0-9_.~:/-]{1,128}$/, typeRule));

const priority = z.enum(['high', 'normal', 'low'], 'Use high, normal or low.');

const keyRule = `Use 1 to ${limits.orderingKeyCharsMax} printable ASCII characters.`;
const key = z.string(keyRule).check(z.regex(/^[\x20-\x7e]{1,128}$/, keyRule));

const sourceRule = `Use 1 to ${limits.sourceCharsMax} printable ASCII characters.`;
const source = z.string(sourceRule).check(z.regex(/^[\x20-\x7e]{1,256}$/, sourceRule));

const store = z.pipe(
  z.literal(['yes', 'no', 'true', 'false', true, false], 'Use yes or no.'),
  z.transform((answer) => answer === true || answer === 'yes' || answer === 'true'),
);

/** A duration as text, or whole seconds as a number, within `[1 s, msMax]`; comes out in ms. Without unions: they weigh half a KB. */
function duration(msMax: number, rule: string) {
  return z.pipe(
    z.unknown(),
    z.transform((given, ctx) => {
      const ms = /string|number/.test(typeof given) ? (parseDuration(String(given)) ?? 0) : 0;
      if (ms < 1000 || ms > msMax) ctx.issues.push({ code: 'custom', message: rule, input: given });
      return ms;
    }),
  );
}

const ttl = duration(limits.messageTtlMsMax, 'Use a duration from 1s to 30d, such as 90s, 10m, 1h, or whole seconds.');

export const metaNameRule = `Name meta entries with 1 to ${limits.metaNameCharsMax} of a-z 0-9 _ . - (but not __proto__).`;
export const metaName = z.string(metaNameRule).check(z.regex(/^(?!__proto__$)[a-z0-9_.-]{1,64}$/, metaNameRule));
const metaValueRule = `Use at most ${limits.metaValueCharsMax} characters, no control characters or line separators.`;
export const metaValue = z
  .string(metaValueRule)
  .check(z.regex(/^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,256}$/, metaValueRule));
export const metaSizeRule = `Give at most ${limits.metaEntriesMax} meta entries.`;
const metaRule = 'Use an object of strings.';
const meta = z.pipe(
  // A record drops this one name in silence, and nothing here is dropped in silence.
  z.transform((given: unknown, ctx) => {
    const reserved = typeof given === 'object' && given !== null && Object.hasOwn(given, '__proto__');
    if (reserved) ctx.issues.push({ code: 'custom', message: metaNameRule, input: given });
    return given;
  }),
  z
    .record(metaName, metaValue, metaRule)
    .check(z.refine((entries) => Object.keys(entries).length <= limits.metaEntriesMax, metaSizeRule)),
);

// W3C Trace Context: version ff is forbidden, and all-zero ids mean "none".
export const traceparentRule =
  'Write traceparent as W3C Trace Context has it: 00-<32 hex>-<16 hex>-<2 hex>, lower case.';
export const traceparent = z
  .string(traceparentRule)
  .check(z.regex(/^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/, traceparentRule));

const contentTypeRule = 'Use a media type of at most 255 characters, such as image/png.';
const contentType = z
  .string(contentTypeRule)
  .check(z.refine((text) => parseMediaType(text) !== undefined, contentTypeRule));

/** What may be said of a message, by header, query parameter or envelope field of the same name. */
export const options = { type, priority, key, store, ttl, source } as const;
export type OptionName = keyof typeof options;

const said = {
  data: z.unknown(),
  type: z.optional(type),
  priority: z.optional(priority),
  key: z.optional(key),
  store: z.optional(store),
  ttl: z.optional(ttl),
  source: z.optional(source),
  meta: z.optional(meta),
  contentType: z.optional(contentType),
  replyTo: z.optional(channel),
  traceparent: z.optional(traceparent),
};
const unknownRule =
  'This field is unknown. Use data, type, priority, key, store, ttl, source, meta, contentType, replyTo';

/** One message and what is said of it, in `application/vnd.edgewire+json`. */
export const envelope = z.strictObject(said, objectRule(`${unknownRule} or traceparent.`));
/** An item of a batch: an envelope that names its channel. */
export const batchItem = z.strictObject({ channel, ...said }, objectRule(`${unknownRule}, traceparent or channel.`));
export type EnvelopeFields = z.output<typeof envelope> & { channel?: Channel };

const subRule = 'Name the subject in 1 to 256 printable characters.';
const namesRule = `Use an array of at most ${limits.tokenNamesMax} names.`;
const few = z.maxLength(limits.tokenNamesMax, namesRule);

export const tokenRequest = z
  .strictObject(
    {
      sub: z.string(subRule).check(z.regex(/^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,256}$/, subRule)),
      channels: z.optional(z.array(channel, namesRule).check(few)),
      patterns: z.optional(z.array(pattern, namesRule).check(few)),
      publish: z.optional(z.array(pattern, namesRule).check(few)),
      ttl: z.optional(duration(limits.tokenLifeMsMax, 'Use a duration from 1s to 1h, such as 10m, or whole seconds.')),
    },
    objectRule('This field is unknown. Use sub, channels, patterns, publish or ttl.'),
  )
  .check(
    z.refine(
      ({ channels, patterns, publish }) => [channels, patterns, publish].some((names) => names && names.length > 0),
      'Ask for at least one of channels, patterns and publish.',
    ),
  );

const idRule = 'Use 1 to 256 characters.';
const idText = z.string(idRule).check(z.regex(/^.{1,256}$/su, idRule));

export const revocationRequest = z
  .strictObject(
    {
      key: z.optional(idText),
      jti: z.optional(idText),
      sub: z.optional(idText),
      before: z.optional(z.number('Use milliseconds since 1970.')),
    },
    objectRule('This field is unknown. Use key, jti, sub or before.'),
  )
  .check(
    z.refine(
      ({ key, jti, sub }) => [key, jti, sub].filter((name) => name !== undefined).length === 1,
      'Name one of key, jti and sub.',
    ),
  );

function objectRule(unknown: string) {
  return {
    error: (issue: { code?: string | undefined }) =>
      issue.code === 'unrecognized_keys' ? unknown : 'Use a JSON object.',
  };
}
