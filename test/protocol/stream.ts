import type { Block } from '../helpers/sse.ts';

/** One stream of a deployment, by fetch, so that https is as good as http. It never reconnects. */
export interface ProtocolStream {
  status: number;
  headers: Headers;
  blocks: Block[];
  /** The problem that a refused stream answered. */
  problem: { code: string; detail: string } | undefined;
  /** Resolves once `holds(blocks)`. Rejects, with what was seen, when the stream ends before or takes too long. */
  until(holds: (blocks: Block[]) => boolean, timeoutMs?: number): Promise<Block[]>;
  cut(): void;
}

export async function openStream(url: string, headers: Record<string, string>): Promise<ProtocolStream> {
  const leave = new AbortController();
  const response = await fetch(url, { headers: { Accept: 'text/event-stream', ...headers }, signal: leave.signal });
  const blocks: Block[] = [];
  let settle: () => void = () => undefined;
  let over = false;
  const reading = response.status === 200 ? read(response, blocks, () => settle()) : undefined;
  reading
    ?.catch(() => undefined) // cut
    .finally(() => {
      over = true;
      settle();
    });
  return {
    status: response.status,
    headers: response.headers,
    blocks,
    problem: response.status === 200 ? undefined : await response.json(),
    cut: () => leave.abort(),
    until: (holds, timeoutMs = 15_000) =>
      new Promise((resolve, reject) => {
        const seen = () => JSON.stringify(blocks).slice(0, 2_000);
        const timer = setTimeout(() => reject(new Error(`not seen in ${timeoutMs} ms: ${seen()}`)), timeoutMs);
        settle = () => {
          if (!holds(blocks) && !over) return;
          clearTimeout(timer);
          if (holds(blocks)) resolve(blocks);
          else reject(new Error(`the stream ended: ${seen()}`));
        };
        settle();
      }),
  };
}

async function read(response: Response, blocks: Block[], settle: () => void): Promise<void> {
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const whole = text.split('\n\n');
    text = whole.pop()!;
    blocks.push(...whole.map(parseBlock));
    settle();
  }
}

function parseBlock(text: string): Block {
  const block: Block = {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
    if (name === 'retry') block.retry = Number(value);
    else if (name === 'id' || name === 'event' || name === 'data') block[name] = value!;
  }
  return block;
}
