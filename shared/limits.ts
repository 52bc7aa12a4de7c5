/** Every bound of the protocol: what it is, its unit (last in the name), and why it stands where it stands. */
export const limits = {
  /** Redis keys, log lines and URLs stay readable, and a name fits twice into one SSE line. */
  channelCharsMax: 255,
  channelSegmentsMax: 16,
  segmentCharsMax: 64,
  /** What any rule written so far needed; a match returns to its last `*` only, so its cost does not grow with their number. */
  patternStarsMax: 3,

  /** One publish. Redis blocks about 6 us per KiB spliced and copied; 256 KiB is some 1.5 ms. */
  bodyBytesMax: 256 << 10,
  /** A text body as a JSON string: escapes may make six characters of one, and two messages must fit an outbox. */
  dataCharsMax: 512 << 10,
  /** How much of a body that is too large is read and dropped, so that its sender comes to reading the answer. */
  bodyLingerBytesMax: 8 << 20,
  /** One batch, in the request and in Redis's one uninterrupted run. */
  batchBytesMax: 1 << 20,
  batchMessagesMax: 1000,
  /** Deeper JSON makes recursive readers overflow; no honest document needs it. */
  jsonDepthMax: 64,
  /** A token request or any other small JSON body. */
  formBytesMax: 16 << 10,

  typeCharsMax: 128,
  sourceCharsMax: 256,
  orderingKeyCharsMax: 128,
  metaEntriesMax: 16,
  metaNameCharsMax: 64,
  metaValueCharsMax: 256,
  idempotencyKeyCharsMax: 255,
  /** A day covers every retry schedule worth the name; the record is small. */
  idempotencyMsMax: 24 * 3600_000,
  /** An edge's own tries of one request: longer than a relay or a proxy that holds one of them back stays silent. */
  idempotencyTriesMs: 60_000,
  /** The longest a message's own `ttl` may be: 30 days, the longest retention we recommend. */
  messageTtlMsMax: 30 * 86_400_000,

  /** One page of history: what a phone can parse without a pause. */
  historyItemsMax: 1000,
  historyItemsDefault: 100,
  historyBytesMax: 1 << 20,

  /** One stream. Above these, several streams or a pattern serve better. */
  streamChannelsMax: 100,
  streamPatternsMax: 10,
  /** Request line and headers; Node's own default, said here because clients meet it. */
  requestHeadBytesMax: 16 << 10,
  rewindMessagesMax: 1000,
  /** What a rewind sends of all its channels together: it is a glance back, history is for reading. */
  rewindBytesMax: 4 << 20,
  sinceMsMax: 30 * 86_400_000,
  /** Channels that changed since a cursor and may match a pattern; past it the resume is a `reset`. */
  patternReplayChannelsMax: 1000,
  /** Channels that changed at all since a cursor: 20,000 names cost Redis some 5 ms. */
  changedChannelsMax: 20_000,
  /** One page of a replay: some 2 ms of Redis's time. */
  replayPageBytes: 256 << 10,
  /** What may wait for one reader in this process; past it the reader pages from history. */
  outboxBytesMax: 1 << 20,
  /** A slow reader, or a replay, goes on when no more than this waits. */
  outboxResumeBytes: 256 << 10,
  /** Messages that arrive while a reader's replay runs; past it they are read from history instead. */
  joinBufferBytesMax: 1 << 20,
  /** A reader that drained not one byte for this long is gone. */
  stallMsMax: 10_000,
  /** Under the 25 s at which the first known proxies cut a silent connection; also moves a quiet reader's cursor. */
  heartbeatMs: 15_000,
  /** Native EventSource waits exactly `retry:`; drawn per connection from this span, so that a crowd does not return at once. */
  retryMsMin: 1_000,
  retryMsMax: 3_000,

  tokenBytesMax: 8 << 10,
  tokenLifeMsMax: 3600_000,
  tokenNamesMax: 100,
  /** Every relay holds them all; each ends within an hour, except an API key's. For more, replace the signing key. */
  revocationsMax: 10_000,

  /** Redis is nearby or it is away: a relay does not wait longer for an answer. */
  redisWaitMsMax: 2_000,
  /** An edge waits so long for each of its tries, across an ocean too. */
  redisTryMsMax: 1_500,
} as const;
