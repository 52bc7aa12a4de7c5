/**
 * Why the relay ends a stream: a closed set, each with what the client is told and whether it should come back by itself.
 * The metric `edgewire_streams_closed_total{reason}` has the same labels.
 */
export const closeReasons = {
  /** The client went. */
  client: { reconnect: false, event: undefined },
  /** This relay is stopping; any other serves the same cursor. */
  drain: { reconnect: true, event: 'bye' },
  /** Redis could not be reached while attaching. */
  redis: { reconnect: true, event: 'bye' },
  /** Not a byte drained for the stall limit. */
  stalled: { reconnect: true, event: undefined },
  /** The token's time is over; a reconnect needs a new one. */
  expired: { reconnect: false, event: 'expired' },
} as const satisfies Record<string, { reconnect: boolean; event: 'bye' | 'expired' | undefined }>;

export type CloseReason = keyof typeof closeReasons;
