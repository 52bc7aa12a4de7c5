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
      description: 'Errors are RFC 9457 problems, with a code of a closed set.',
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
          description: 'An API key, or a token (JWT).',
        },
      },
    },
  };
}
