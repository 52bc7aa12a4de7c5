import { type AttachParts, attachParts, catchUp, listen } from '../../relay/attach.ts';
import { readConfig } from '../../relay/config.ts';
import { createLog } from '../../relay/log.ts';
import { startRelay } from '../../relay/relay.ts';
import { retryFrame } from '../../shared/sse.ts';

/** Relays that differ from the real one by one part, each of which must be seen to lose messages. */
const wrong: Record<string, Partial<AttachParts>> = {
  'history is read before Redis is listened to': {
    async attach(reader, start, tools) {
      await catchUp(reader, start, tools);
      await listen(reader, tools);
    },
  },
  'there is no first block': { greet: (reader) => retryFrame(reader.retryMs) },
  'a pattern replays up to where the clock stands too late': { until: () => undefined },
};

const parts = wrong[process.env.WRONG ?? ''];
if (!parts) throw new Error(`WRONG must be one of ${Object.keys(wrong).join(' | ')}`);
const config = readConfig(process.env);
await startRelay(config, createLog(config.logLevel), { ...attachParts, ...parts });
