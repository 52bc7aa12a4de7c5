/**
 * Refusals: the closed set of expected noes. Whatever else is thrown is a bug and answers 500 `internal`.
 * A code never changes its meaning; its page is `docs/protocol.md#problems`.
 */
export const problems = {
  query_invalid: { status: 400, title: 'The query string is not understood' },
  header_invalid: { status: 400, title: 'A header is not understood' },
  channel_invalid: { status: 400, title: 'This is not a channel name' },
  pattern_invalid: { status: 400, title: 'This is not a pattern' },
  cursor_invalid: { status: 400, title: 'This is not a message id' },
  body_invalid: { status: 400, title: 'The body is not what its content type says' },
  credential_missing: { status: 401, title: 'A key or token is needed' },
  credential_invalid: { status: 401, title: 'The key or token is not accepted' },
  not_granted: { status: 403, title: 'The key or token does not allow this' },
  origin_refused: { status: 403, title: 'This origin is not allowed' },
  command_refused: { status: 403, title: 'This Redis command is not allowed here' },
  route_unknown: { status: 404, title: 'Nothing is served here' },
  message_unknown: { status: 404, title: 'This message is not in the history' },
  method_not_allowed: { status: 405, title: 'This method is not served here' },
  idempotency_conflict: { status: 409, title: 'This Idempotency-Key was used for another request' },
  body_too_large: { status: 413, title: 'The body is too large' },
  content_type_unsupported: { status: 415, title: 'This content type is not accepted' },
  envelope_invalid: { status: 422, title: 'The JSON does not have the expected shape' },
  rate_limited: { status: 429, title: 'Too much in too short a time' },
  too_many_streams: { status: 429, title: 'Too many streams are open' },
  internal: { status: 500, title: 'A fault on our side' },
  channel_damaged: { status: 500, title: 'The Redis key of this channel holds something else' },
  redis_unavailable: { status: 503, title: 'Redis cannot be reached' },
  redis_full: { status: 503, title: 'Redis is out of memory' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/** One fault inside a body: where (RFC 6901 pointer) and what is wrong there. */
export interface Fault {
  pointer: string;
  detail: string;
}

/** RFC 9457 body. `type` is a URN: the code names the page, not a host. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ProblemCode;
  requestId?: string;
  errors?: Fault[];
}

/**
 * An expected no. `detail` tells the caller what to do about it; it may quote the caller's own input only
 * where that input already passed a grammar, because details reach logs.
 */
export class Refusal extends Error {
  readonly code: ProblemCode;
  readonly errors: Fault[] | undefined;
  readonly headers: Record<string, string>;

  constructor(code: ProblemCode, detail: string, more: { errors?: Fault[]; headers?: Record<string, string> } = {}) {
    super(detail);
    this.name = 'Refusal';
    this.code = code;
    this.errors = more.errors;
    this.headers = more.headers ?? {};
  }

  get status(): number {
    return problems[this.code].status;
  }

  toProblem(requestId?: string): Problem {
    const { status, title } = problems[this.code];
    return {
      type: `urn:edgewire:problem:${this.code}`,
      title,
      status,
      detail: this.message,
      code: this.code,
      ...(requestId !== undefined && { requestId }),
      ...(this.errors !== undefined && { errors: this.errors }),
    };
  }
}
