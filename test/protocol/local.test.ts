import { afterAll } from 'vitest';
import { type Stack, startStack } from '../helpers/stack.ts';
import { protocol } from './suite.ts';

/**
 * The protocol on a stack of our own, or on yours, which needs a key that may publish, read, mint and purge under
 * `conformance:*`. ORIGIN is an origin that your edge and relay allow; without it that one question is left out.
 *
 *   EDGE_URL=https://edge.example RELAY_URL=https://relay.example PUBLISH_KEY=ew_... \
 *     npx vitest run --config test/vitest.config.ts test/protocol
 */
const { EDGE_URL, RELAY_URL, PUBLISH_KEY, ORIGIN } = process.env;

if (EDGE_URL && RELAY_URL && PUBLISH_KEY) {
  protocol({ edgeUrl: EDGE_URL, relayUrl: RELAY_URL, publishKey: PUBLISH_KEY, origin: ORIGIN });
} else {
  const stack: Stack = await startStack({ edge: true });
  afterAll(() => stack.stop());
  protocol({ ...stack, origin: stack.relayUrl }); // pages of the relay's own origin, the console, are let in
}
