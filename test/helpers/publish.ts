/** Publishes over HTTP, as any program would. */
export function post(
  stack: { edgeUrl: string; publishKey: string },
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${stack.edgeUrl}${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${stack.publishKey}`, 'Content-Type': 'application/json', ...headers },
    body: body as BodyInit,
  });
}
