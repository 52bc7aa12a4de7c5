import { openapi } from './document.ts';

console.log(JSON.stringify(openapi(), null, 2));
