/**
 * Server-Sent Events frames (https://html.spec.whatwg.org/multipage/server-sent-events.html). Nobody else writes "data:".
 * Everything that reaches a frame has passed a grammar without CR or LF, or is JSON text, in which both are escaped.
 */
const encoder = new TextEncoder();
const DATA = encoder.encode('\ndata: ');
const END = encoder.encode('\n\n');

/** A message: its id moves the client's cursor; no `event:`, so plain `onmessage` receives it. `json` is one line. */
export function messageFrame(id: string, json: Uint8Array): Uint8Array {
  const head = encoder.encode(`id: ${id}`);
  const frame = new Uint8Array(head.length + DATA.length + json.length + END.length);
  frame.set(head);
  frame.set(DATA, head.length);
  frame.set(json, head.length + DATA.length);
  frame.set(END, head.length + DATA.length + json.length);
  return frame;
}

/** A message that no history holds: without an id, so that it moves no cursor. `json` is one line. */
export function passingFrame(json: string): Uint8Array {
  return encoder.encode(`data: ${json}\n\n`);
}

/** The first block of every stream: how long to wait before reconnecting, and a cursor before any message. */
export function firstFrame(retryMs: number, id: string): Uint8Array {
  return encoder.encode(`retry: ${Math.round(retryMs)}\nid: ${id}\n\n`);
}

/** Asks a client that cannot be served now to come back; its cursor stays as it is. */
export function retryFrame(retryMs: number): Uint8Array {
  return encoder.encode(`retry: ${Math.round(retryMs)}\n\n`);
}

/** Heartbeat and watermark in one: moves the cursor and raises no event. `id` must never be empty: that clears the cursor. */
export function idFrame(id: string): Uint8Array {
  return encoder.encode(`id: ${id}\n\n`);
}

/** A control event. Carries no `id:`, because a cursor must never rest on what history does not hold. */
export function controlFrame(event: ControlEvent, data: object): Uint8Array {
  return encoder.encode(`event: edgewire.${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

export type ControlEvent = 'open' | 'gap' | 'reset' | 'bye' | 'expired';
