import { catchUp, listen } from '../../relay/attach.ts';
import { readConfig } from '../../relay/config.ts';
import type { Reader } from '../../relay/connection.ts';
import { createLog } from '../../relay/log.ts';
import { createProbe } from '../../relay/probe.ts';
import { type RelayParts, relayParts, startRelay } from '../../relay/relay.ts';
import type { Repair, RepairTools } from '../../relay/repair.ts';
import { retryFrame } from '../../shared/sse.ts';

/** Goes on where the stream is now, whatever came meanwhile: what most servers do with a slow reader. */
async function goOnWithoutHistory(reader: Reader): Promise<void> {
  if (await reader.room()) reader.state = 'live';
}

function noRepair({ hub }: RepairTools): Repair {
  const letGo = () => {
    while (!hub.release());
  };
  return {
    outage: letGo,
    hole(hole) {
      hub.skip(hole.channel, hole.last);
      letGo();
    },
    async audit() {},
  };
}

/** Relays that differ from the real one by what protects, each of which must be seen to lose messages. */
const wrong: Record<string, Partial<RelayParts>> = {
  'history is read before Redis is listened to': {
    async attach(reader, start, tools) {
      await catchUp(reader, start, tools);
      await listen(reader, tools);
    },
  },
  'there is no first block': { greet: (reader) => retryFrame(reader.retryMs) },
  'a pattern replays up to where the clock stands too late': { until: () => undefined },
  'a resume begins now': {
    async attach(reader, _start, tools) {
      await listen(reader, tools);
      await catchUp(reader, { kind: 'now' }, tools);
    },
  },
  'a slow reader goes on without history': { rejoin: goOnWithoutHistory },
  'neither chain nor audit is looked at': {
    repair: (tools) => ({ ...noRepair(tools), outage: relayParts.repair(tools).outage }),
  },
  'nothing is read back after an outage': { repair: noRepair, rejoin: goOnWithoutHistory },
  'nobody misses a probe': { probe: (tools) => ({ ...createProbe(tools), tick: () => undefined }) },
};

const parts = wrong[process.env.WRONG ?? ''];
if (!parts) throw new Error(`WRONG must be one of ${Object.keys(wrong).join(' | ')}`);
const config = readConfig(process.env);
await startRelay(config, createLog(config.logLevel), { ...relayParts, ...parts });
