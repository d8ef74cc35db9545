// What the models of these tests say, and the tools that the clients offer them.

import { McpError } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

/** Hosts that take tools as such, and hosts that know only text. */
export const HOSTS = [
  { kind: 'a host with sampling.tools', tools: true },
  { kind: 'a host without', tools: false },
];

const WEATHER = { Paris: '18 degrees', Rome: '25 degrees' };

/** The one tool. */
export const weather = {
  name: 'weather',
  description: 'Tells the weather of a city.',
  zod: z.object({ city: z.string() }),
  schema: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
  run: ({ city }) => WEATHER[city] ?? 'no such city',
};

export const QUESTION = 'Is Rome warmer than Paris?';

/** What `oneByOne` and `atOnce` come to. */
export const ANSWER = 'Paris: 18 degrees, Rome: 25 degrees.';

const ask = (city) => ({ name: 'weather', input: { city } });
const told = ([paris, rome]) => `Paris: ${paris}, Rome: ${rome}.`;

/** A model that needs two steps, and says something before the first. */
export function oneByOne({ results, tools }) {
  if (!tools.includes('weather')) return 'I have no tools.';
  if (results.length === 0) return { text: 'I look.', calls: [ask('Paris')] };
  if (results.length === 1) return { calls: [ask('Rome')] };
  return told(results);
}

/** A model that calls twice in one answer. */
export function atOnce({ results }) {
  return results.length ? told(results) : { calls: [ask('Paris'), ask('Rome')] };
}

/** What is asked for where the answer is to be structured. */
export const Person = z.object({ name: z.string(), age: z.number().int() });
export const ANN = { name: 'Ann', age: 41 };

/** A model that gives that in a code fence, after a first answer that does not fit. */
export function person({ turns }) {
  return turns ? `\`\`\`json\n${JSON.stringify(ANN)}\n\`\`\`` : '{"name": "Ann", "age": "unknown"}';
}

/** A model whose structured answers are none. */
export const chatter = () => 'Ann is 41.';

/** A model that never answers; `left` is called when the bridge gives up on it. */
export const silent = (left) => ({ signal }) =>
  new Promise((_, fail) => {
    signal.addEventListener('abort', () => {
      left?.();
      fail(new Error('given up'));
    });
  });

/** A host that answers with an error of its own. */
export const refusing = (code, message) => () => {
  throw new McpError(code, message);
};
