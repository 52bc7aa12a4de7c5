import { Hono } from 'hono';
import { equalInConstantTime } from '../shared/apikey.ts';
import { type Channel, parseChannel } from '../shared/channel.ts';
import { bearerOf } from '../shared/credentials.ts';
import { Refusal } from '../shared/errors.ts';
import { limits } from '../shared/limits.ts';
import { textIn } from './body.ts';

/**
 * The door for what edges could not bring to Redis: a message a line, for whoever reads here now. All lines are checked
 * before the first is delivered. `deliver` answers how many readers it went to; the answer tells their sum.
 */
export function createDegradedDoor(token: string, deliver: (channel: Channel, json: string) => number): Hono {
  const door = new Hono();
  door.post('/', async (c) => {
    if (!equalInConstantTime(bearerOf(c.req.header('authorization')) ?? '', token)) {
      throw new Refusal(
        'credential_invalid',
        'Send the DEGRADED_TOKEN of this relay as Authorization: Bearer <token>.',
      );
    }
    const lines = (await textIn(c)).split('\n').filter((line) => line !== '');
    if (lines.length > limits.batchMessagesMax) throw new Refusal('body_too_large', 'too many messages');
    const messages = lines.map((json) => ({ channel: channelOf(json), json }));
    let readers = 0;
    for (const { channel, json } of messages) readers += deliver(channel, json);
    return c.json({ readers });
  });
  return door;
}

/** Throws unless the line is a message that says that it is degraded, and claims no id: that would be a place in history. */
function channelOf(json: string): Channel {
  const invalid = new Refusal('body_invalid', 'Each line is one message with "degraded":true and without an id.');
  if (json.includes('\r')) throw invalid; // it would end a line of the frame
  let message: { channel?: unknown; degraded?: unknown; id?: unknown } | null;
  try {
    message = JSON.parse(json);
  } catch {
    throw invalid;
  }
  const channel = parseChannel(String(message?.channel));
  if (!channel || message?.degraded !== true || message.id !== undefined) throw invalid;
  return channel;
}
