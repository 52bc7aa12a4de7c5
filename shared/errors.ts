/**
 * Refusals: the closed set of expected noes. Whatever else is thrown is a bug and answers 500 `internal`.
 * A code never changes its meaning; its page is `docs/protocol.md#problems`.
 */
export const problems = {
  query_invalid: { status: 400 },
  header_invalid: { status: 400 },
  channel_invalid: { status: 400 },
  pattern_invalid: { status: 400 },
  cursor_invalid: { status: 400 },
  body_invalid: { status: 400 },
  credential_missing: { status: 401 },
  credential_invalid: { status: 401 },
  not_granted: { status: 403 },
  origin_refused: { status: 403 },
  command_refused: { status: 403 },
  route_unknown: { status: 404 },
  message_unknown: { status: 404 },
  method_not_allowed: { status: 405 },
  idempotency_conflict: { status: 409 },
  body_too_large: { status: 413 },
  content_type_unsupported: { status: 415 },
  envelope_invalid: { status: 422 },
  rate_limited: { status: 429 },
  too_many_streams: { status: 429 },
  internal: { status: 500 },
  channel_damaged: { status: 500 },
  redis_unavailable: { status: 503 },
  redis_full: { status: 503 },
} as const satisfies Record<string, { status: number }>;

export type ProblemCode = keyof typeof problems;

/** RFC 9457's short summary: the code in words, so that there is no second table to load. */
export function titleOf(code: ProblemCode): string {
  return code.replaceAll('_', ' ');
}

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
    return {
      type: `urn:edgewire:problem:${this.code}`,
      title: titleOf(this.code),
      status: this.status,
      detail: this.message,
      code: this.code,
      ...(requestId !== undefined && { requestId }),
      ...(this.errors !== undefined && { errors: this.errors }),
    };
  }
}
