import type { EdgeContext } from '../context.ts';

/**
 * GET /openapi.json. The document is made of the same schemas that check requests (`edge/openapi`), but beforehand: making
 * it takes a seventh of the bundle. Imported when first asked for, since most isolates never are.
 */
export async function describe(c: EdgeContext): Promise<Response> {
  const { default: document } = await import('../openapi/openapi.json', { with: { type: 'json' } });
  return c.json(document);
}

/** GET /healthz: this program runs and its configuration holds. It does not ask Redis: the relay's /readyz does. */
export function health(c: EdgeContext): Response {
  return c.json({ status: 'ok' });
}
