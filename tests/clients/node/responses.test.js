// The official `openai` package, and `ai` with `@ai-sdk/openai`, on /v1/responses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import { Output, generateText, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { PATIENCE, startHost } from './host.js';
import {
  ANN, ANSWER, HOSTS, Person, QUESTION, atOnce, chatter, oneByOne, person, refusing, silent, weather,
} from './models.js';

async function start(t, options, more = {}) {
  const host = await startHost(t, options);
  const client = new OpenAI({
    baseURL: host.v1, apiKey: 'unused', maxRetries: 0, timeout: PATIENCE, ...more,
  });
  return { host, client };
}

const hello = { model: 'm', input: 'Hello' };
const offered = {
  type: 'function',
  name: weather.name,
  description: weather.description,
  parameters: weather.schema,
  strict: true,
};

/** What comes of a call of a tool. */
const result = ({ call_id, arguments: input }) => {
  return { type: 'function_call_output', call_id, output: weather.run(JSON.parse(input)) };
};
const callsOf = (response) => response.output.filter(({ type }) => type === 'function_call');

test('a whole answer', async (t) => {
  const { host, client } = await start(t);
  const response = await client.responses.create({ ...hello, instructions: 'Be brief.' });
  assert.equal(response.output_text, 'echo: Hello');
  assert.deepEqual([response.status, response.error, response.model], ['completed', null, 'm']);
  assert.ok(response.usage.total_tokens > 0);
  assert.equal(host.asked[0].systemPrompt, 'Be brief.');
});

test('a stream', async (t) => {
  const { client } = await start(t);
  const events = [];
  const stream = client.responses.stream(hello).on('event', (event) => events.push(event));
  const response = await stream.finalResponse();
  assert.equal(response.output_text, 'echo: Hello');
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.equal(events.at(0).type, 'response.created');
  assert.equal(events.at(-1).type, 'response.completed');
  const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
  assert.equal(deltas.map(({ delta }) => delta).join(''), 'echo: Hello');
});

test('a response that is kept is continued, read and deleted', async (t) => {
  const { host, client } = await start(t);
  const first = await client.responses.create({ ...hello, store: true });
  const next = { model: 'm', input: 'Again', previous_response_id: first.id };
  await client.responses.create(next);
  const said = host.asked[1].messages.map((message) => message.content.text);
  assert.deepEqual(said, ['Hello', 'echo: Hello', 'Again']);
  assert.equal((await client.responses.retrieve(first.id)).output_text, 'echo: Hello');
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  await assert.rejects(client.responses.create(next), OpenAI.BadRequestError);
});

for (const { kind, tools } of HOSTS) {
  for (const stream of [false, true]) {
    const how = `${kind}, ${stream ? 'streamed' : 'whole'}`;
    const send = (client, body) =>
      stream ? client.responses.stream(body).finalResponse() : client.responses.create(body);

    for (const stored of [false, true]) {
      const history = stored ? 'by previous_response_id' : 'sent along';

      test(`an agent loop of two calls, its history ${history}, on ${how}`, async (t) => {
        const { host, client } = await start(t, { model: oneByOne, tools });
        let input = [{ role: 'user', content: QUESTION }];
        let previous_response_id = null;
        const called = [];
        let response;
        for (let turn = 0; turn < 5; turn += 1) {
          const body = { model: 'm', tools: [offered], store: stored, input, previous_response_id };
          response = await send(client, body);
          const calls = callsOf(response);
          if (calls.length === 0) break;
          called.push(...calls.map((call) => JSON.parse(call.arguments).city));
          const results = calls.map(result);
          if (stored) [input, previous_response_id] = [results, response.id];
          else input = [...input, ...response.output, ...results];
        }
        assert.equal(response.output_text, ANSWER);
        assert.deepEqual(called, ['Paris', 'Rome']);
        assert.equal(host.asked.length, 3);
      });
    }

    test(`two calls in one answer of ${how}`, async (t) => {
      const { client } = await start(t, { model: atOnce, tools });
      const body = { model: 'm', tools: [offered], store: false };
      const input = [{ role: 'user', content: QUESTION }];
      const { output } = await send(client, { ...body, input });
      const calls = callsOf({ output });
      assert.deepEqual(calls.map((call) => JSON.parse(call.arguments).city), ['Paris', 'Rome']);
      const last = await send(client, { ...body, input: [...input, ...output, ...calls.map(result)] });
      assert.equal(last.output_text, ANSWER);
    });
  }

  test(`a choice of tools on ${kind}`, async (t) => {
    const { client } = await start(t, { model: oneByOne, tools });
    const ask = (tool_choice) =>
      client.responses.create({ model: 'm', input: QUESTION, tools: [offered], tool_choice });
    for (const choice of ['required', { type: 'function', name: 'weather' }]) {
      assert.equal(callsOf(await ask(choice))[0].name, 'weather');
    }
    assert.equal((await ask('none')).output_text, 'I have no tools.');
  });

  test(`a structured answer of ${kind}`, async (t) => {
    const { host, client } = await start(t, { model: person, tools });
    const body = { ...hello, text: { format: zodTextFormat(Person, 'person') } };
    const response = await client.responses.parse(body);
    assert.deepEqual(response.output_parsed, ANN);
    // It was asked once more, for the first answer did not fit.
    assert.equal(host.asked.length, 2);
    const streamed = await client.responses.stream(body).finalResponse();
    assert.deepEqual(streamed.output_parsed, ANN);
  });

  test(`the AI SDK's loop of two calls on ${kind}`, async (t) => {
    const host = await startHost(t, { model: oneByOne, tools });
    const openai = createOpenAI({ baseURL: host.v1, apiKey: 'unused' });
    const called = [];
    const execute = (input) => {
      called.push(input.city);
      return weather.run(input);
    };
    for (const store of [true, false]) {
      const asked = {
        model: openai.responses('gpt-4.1'),
        prompt: QUESTION,
        tools: { weather: tool({ ...weather, inputSchema: weather.zod, execute }) },
        stopWhen: stepCountIs(5),
        maxRetries: 0,
        providerOptions: { openai: { store } },
      };
      assert.equal((await generateText(asked)).text, ANSWER);
      assert.equal(await streamText(asked).text, ANSWER);
    }
    assert.deepEqual(called, Array(4).fill(['Paris', 'Rome']).flat());
  });

  test(`a structured answer for the AI SDK of ${kind}`, async (t) => {
    const host = await startHost(t, { model: person, tools });
    const openai = createOpenAI({ baseURL: host.v1, apiKey: 'unused' });
    const asked = {
      model: openai.responses('gpt-4.1'), prompt: 'Who?', output: Output.object({ schema: Person }),
    };
    assert.deepEqual((await generateText(asked)).output, ANN);
    assert.deepEqual(await streamText(asked).output, ANN);
  });
}

test('an answer that has not the form asked for, twice', async (t) => {
  const { client } = await start(t, { model: chatter });
  const body = { ...hello, text: { format: { type: 'json_object' } } };
  await assert.rejects(client.responses.create(body), (error) => {
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.deepEqual([error.status, error.code], [502, 'answer_misformed']);
    return true;
  });
});

test('a host that says no', async (t) => {
  const { client } = await start(t, { model: refusing(-1, 'User rejected sampling request') });
  await assert.rejects(client.responses.create(hello), OpenAI.PermissionDeniedError);
  // A stream's head may have left before; then the response says that it failed.
  try {
    const response = await client.responses.stream(hello).finalResponse();
    assert.equal(response.status, 'failed');
    assert.match(response.error.message, /rejected/);
  } catch (error) {
    assert.match(error.message, /rejected/);
  }
});

for (const [more, param] of [
  [{ temperature: 3 }, 'temperature'],
  [{ input: [] }, 'input'],
  [{ input: [{ role: 'robot', content: 'x' }] }, 'input[0].role'],
  [{ tools: [{ type: 'web_search' }] }, 'tools[0]'],
  [{ tools: [{ type: 'file_search', vector_store_ids: [] }] }, 'tools[0]'],
  [{ previous_response_id: 'resp_unknown' }, 'previous_response_id'],
  [{ background: true }, 'background'],
]) {
  test(`${JSON.stringify(more)} is refused by its name`, async (t) => {
    const { client } = await start(t);
    await assert.rejects(client.responses.create({ ...hello, ...more }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, param);
      return true;
    });
  });
}

test('a wrong key, and a model that does not answer in time', async (t) => {
  const env = { MODELTAP_API_KEY: 'right', MODELTAP_TIMEOUT: '300ms' };
  const { host, client } = await start(t, { model: silent(), env }, { apiKey: 'wrong' });
  await assert.rejects(client.responses.create(hello), OpenAI.AuthenticationError);
  const right = new OpenAI({ baseURL: host.v1, apiKey: 'right', maxRetries: 0 });
  await assert.rejects(right.responses.create(hello), { status: 504 });
});

test('a host without a model', async (t) => {
  const { client } = await start(t, { mute: true });
  await assert.rejects(client.responses.create(hello), { status: 503, code: 'no_model' });
});
