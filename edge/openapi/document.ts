import { answerSchemas, type Json, problemAnswer, requestSchemas } from './components.ts';
import { paths } from './operations.ts';

/**
 * The OpenAPI 3.1 document of the edge, from the schemas that check its requests. What is served is its print, openapi.json;
 * a test compares the two. Print it anew with `node edge/openapi/print.ts > edge/openapi/openapi.json`, then format.
 */
export function openapi(): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Edgewire',
      version: '1',
      summary: 'Publish with one HTTP POST, receive in any browser with one EventSource.',
      description:
        'Every answer carries Edgewire-Request-Id. What the deployment opens to everyone is read without a credential.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths: paths(),
    components: {
      responses: { Problem: problemAnswer },
      schemas: { ...requestSchemas(), ...answerSchemas() },
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An API key `ew_<env>_<id>_<secret>`, or a token: a JWT that a key minted or that your own issuer signed.',
        },
      },
    },
  };
}
