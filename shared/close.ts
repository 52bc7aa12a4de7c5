/**
 * Why the relay ends a stream: a closed set, each with what the client is told and whether it should come back by itself.
 * The metric `edgewire_streams_closed_total{reason}` has the same labels.
 */
export const closeReasons = {
  /** The client went. */
  client: { reconnect: false, event: undefined },
  /** This relay is stopping; any other serves the same cursor. */
  drain: { reconnect: true, event: 'bye' },
  /** Redis could not be reached before the stream began, or a fault of ours broke its replay. */
  redis: { reconnect: true, event: 'bye' },
  /** Something was queued and not a byte of it moved for the stall limit. */
  stalled: { reconnect: true, event: undefined },
  /** The token's time is over; a reconnect needs a new one. */
  expired: { reconnect: false, event: 'expired' },
  /** The token or key was revoked; a reconnect needs another. */
  revoked: { reconnect: false, event: 'expired' },
} as const satisfies Record<string, { reconnect: boolean; event: 'bye' | 'expired' | undefined }>;

export type CloseReason = keyof typeof closeReasons;
