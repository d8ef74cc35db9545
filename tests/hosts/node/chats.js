// HTTP chats through a host that samples, in either era: what each TypeScript client must carry.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as dial } from 'node:net';
import { test } from 'node:test';
import { CLIENT_NAME, echo } from './host.js';
import * as web from './web.js';

const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
    },
  },
};
// One transparent pixel.
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

/**
 * Registers the tests. `start(t, {model, tools})` starts a host and gives what `connect` of host.js
 * gives; without a model the host offers no sampling. `era` is for the tests' names, and `way` is what
 * answers name as the way to the model.
 */
export function chats(era, start, way) {
  const check = (name, run) => test(`${era}: ${name}`, run);

  for (const [dialect, asks] of Object.entries({ OpenAI: web.complete, Anthropic: web.message })) {
    for (const stream of [false, true]) {
      check(`a chat in ${dialect}'s dialect, ${stream ? 'streamed' : 'whole'}`, async (t) => {
        const { root } = await start(t, { model: echo });
        const answer = await asks(root, 'Hello', { stream });
        assert.equal(answer.status, 200);
        assert.equal(answer.text, 'echo: Hello');
        assert.equal(answer.way, way);
      });
    }
  }

  check('each of several clients gets its own answer', async (t) => {
    const texts = Array.from({ length: 12 }, (_, number) => `number ${number}`);
    const { root, status } = await start(t, { model: echo });
    assert.deepEqual(
      (await web.several(root, texts)).map((answer) => [answer.text, answer.way]),
      texts.map((text) => [`echo: ${text}`, way]),
    );
    assert.equal((await status()).openai_api.in_flight, 0);
  });

  check("the host's tools are called", async (t) => {
    const { root } = await start(t, {
      tools: true,
      model: ({ text, kinds, tools }) => {
        if (kinds.at(-1) === 'tool_result') return `It is ${text}.`;
        assert.deepEqual(tools, ['weather']);
        return { name: 'weather', input: { city: 'Paris' } };
      },
    });
    const question = [{ role: 'user', content: 'How is the weather in Paris?' }];
    const asked = await web.complete(root, question, { tools: [WEATHER] });
    assert.deepEqual(asked.calls, [{ name: 'weather', input: { city: 'Paris' } }]);
    const called = { name: 'weather', arguments: '{"city":"Paris"}' };
    const turn = [
      { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: called }] },
      { role: 'tool', tool_call_id: 'a', content: 'sunny' },
    ];
    const told = await web.complete(root, [...question, ...turn], { tools: [WEATHER] });
    assert.equal(told.text, 'It is sunny.');
  });

  check('images and limits reach the model', async (t) => {
    const { root } = await start(t, {
      model: ({ kinds, params }) => `${params.maxTokens} ${kinds}`,
    });
    const content = [
      { type: 'text', text: 'Look' },
      { type: 'image_url', image_url: { url: PIXEL } },
    ];
    const answer = await web.complete(root, [{ role: 'user', content }], { max_tokens: 77 });
    assert.equal(answer.text, '77 text,image');
  });

  check('a host without a model is told of', async (t) => {
    const { root } = await start(t, {});
    const answer = await web.complete(root, 'Hello');
    assert.deepEqual([answer.status, answer.error], [503, 'no_model']);
  });

  check('the tools are listed, and their results fit their schemas', async (t) => {
    const { client, call, status } = await start(t, { model: echo });
    // The library checks what a listed tool returns.
    const names = (await client.listTools()).tools.map(({ name }) => name);
    for (const name of ['hook', 'runtime_status', 'http_server_status']) {
      assert.ok(names.includes(name), name);
    }
    assert.equal((await status()).mcp.client.name, CLIENT_NAME);
    const wrong = await call('channel_reply', { request_id: 7 });
    assert.ok(wrong.isError);
    assert.match(wrong.content[0].text, /request_id/);
  });

  check('nothing listens once the host is gone', async (t) => {
    const { root, close } = await start(t, { model: echo });
    assert.equal((await web.complete(root, 'Hello')).status, 200);
    await close();
    const { hostname, port } = new URL(root);
    const socket = dial(Number(port), hostname);
    await assert.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' });
  });
}
