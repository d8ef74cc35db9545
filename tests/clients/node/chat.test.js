// The official `openai` package on /v1/chat/completions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
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

const user = (content) => [{ role: 'user', content }];
const hello = { model: 'm', messages: user('Hello') };
const offered = {
  type: 'function',
  function: { name: weather.name, description: weather.description, parameters: weather.schema },
};

test('a whole answer', async (t) => {
  const { client } = await start(t);
  const { data, response } = await client.chat.completions.create(hello).withResponse();
  assert.equal(data.choices[0].message.content, 'echo: Hello');
  assert.equal(data.choices[0].finish_reason, 'stop');
  assert.equal(data.model, 'm');
  assert.ok(data.usage.prompt_tokens > 0 && data.usage.completion_tokens > 0);
  assert.equal(response.headers.get('x-mcp-model'), 'scripted-model');
  assert.ok(data._request_id);
});

test('a stream', async (t) => {
  const { client } = await start(t);
  const stream = client.chat.completions.stream({
    ...hello, stream_options: { include_usage: true },
  });
  let text = '';
  stream.on('content', (delta) => (text += delta));
  const whole = await stream.finalChatCompletion();
  assert.equal(text, 'echo: Hello');
  assert.equal(whole.choices[0].message.content, text);
  assert.ok(whole.usage.total_tokens > 0);
});

test('the listed models', async (t) => {
  const { client } = await start(t);
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['modeltap']);
  assert.equal((await client.models.retrieve('modeltap')).id, 'modeltap');
});

test('the legacy completions', async (t) => {
  const { client } = await start(t);
  const { choices } = await client.completions.create({ model: 'm', prompt: 'Hello' });
  assert.match(choices[0].text, /Hello/);
});

for (const { kind, tools } of HOSTS) {
  for (const stream of [false, true]) {
    const how = `${kind}, ${stream ? 'streamed' : 'whole'}`;

    test(`an agent loop of two calls on ${how}`, async (t) => {
      const { host, client } = await start(t, { model: oneByOne, tools });
      const called = [];
      const runner = client.chat.completions.runTools({
        model: 'm',
        messages: user(QUESTION),
        stream,
        tools: [{
          type: 'function',
          function: {
            ...offered.function,
            parse: JSON.parse,
            function: (input) => {
              called.push(input.city);
              return weather.run(input);
            },
          },
        }],
      });
      assert.equal(await runner.finalContent(), ANSWER);
      assert.deepEqual(called, ['Paris', 'Rome']);
      assert.equal(host.asked.length, 3);
      const said = runner.messages.filter(({ role }) => role === 'assistant');
      assert.deepEqual(said.map(({ content }) => content || null), ['I look.', null, ANSWER]);
    });

    test(`two calls in one answer of ${how}`, async (t) => {
      const { client } = await start(t, { model: atOnce, tools });
      const ask = async (messages) => {
        const body = { model: 'm', messages, tools: [offered], tool_choice: 'auto' };
        const answer = stream
          ? await client.chat.completions.stream(body).finalChatCompletion()
          : await client.chat.completions.create(body);
        return answer.choices[0];
      };
      const { message, finish_reason } = await ask(user(QUESTION));
      assert.equal(finish_reason, 'tool_calls');
      const cities = message.tool_calls.map((call) => JSON.parse(call.function.arguments).city);
      assert.deepEqual(cities, ['Paris', 'Rome']);
      assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 2);
      // The results in the other order: they belong to their calls by id.
      const results = message.tool_calls.map((call) => ({
        role: 'tool',
        tool_call_id: call.id,
        content: weather.run(JSON.parse(call.function.arguments)),
      }));
      const last = await ask([...user(QUESTION), message, ...results]);
      assert.equal(last.message.content, ANSWER);
      assert.equal(last.finish_reason, 'stop');
    });
  }

  test(`a choice of tools on ${kind}`, async (t) => {
    const { host, client } = await start(t, { model: oneByOne, tools });
    const ask = async (tool_choice) => {
      const body = { model: 'm', messages: user(QUESTION), tools: [offered], tool_choice };
      return (await client.chat.completions.create(body)).choices[0].message;
    };
    for (const choice of ['required', { type: 'function', function: { name: 'weather' } }]) {
      const [call] = (await ask(choice)).tool_calls;
      assert.equal(call.function.name, 'weather');
    }
    const modes = host.asked.map((params) => params.toolChoice?.mode);
    assert.deepEqual(modes, Array(2).fill(tools ? 'required' : undefined));
    const { content, tool_calls } = await ask('none');
    assert.equal(content, 'I have no tools.');
    assert.equal(tool_calls, undefined);
  });

  test(`a structured answer of ${kind}`, async (t) => {
    const { host, client } = await start(t, { model: person, tools });
    const body = { ...hello, response_format: zodResponseFormat(Person, 'person') };
    const { choices } = await client.chat.completions.parse(body);
    assert.deepEqual(choices[0].message.parsed, ANN);
    // It was asked once more, for the first answer did not fit.
    assert.equal(host.asked.length, 2);
    const streamed = await client.chat.completions.stream(body).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.parsed, ANN);
  });
}

test('an answer that has not the form asked for, twice', async (t) => {
  const { client } = await start(t, { model: chatter });
  const body = { ...hello, response_format: { type: 'json_object' } };
  await assert.rejects(client.chat.completions.create(body), (error) => {
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.deepEqual([error.status, error.code], [502, 'answer_misformed']);
    return true;
  });
});

for (const [code, message, kind, status] of [
  [-1, 'User rejected sampling request', OpenAI.PermissionDeniedError, 403],
  [-32603, 'the model is on fire', OpenAI.InternalServerError, 502],
  [-32603, 'maximum context length is 8192', OpenAI.BadRequestError, 400],
]) {
  test(`a host that answers ${code} ${message}`, async (t) => {
    const { client } = await start(t, { model: refusing(code, message) });
    const refused = (error) => {
      // A stream's head may have left before the host said no.
      if (error.status !== undefined) {
        assert.ok(error instanceof kind, error.constructor.name);
        assert.equal(error.status, status);
      }
      assert.ok(error instanceof OpenAI.APIError);
      assert.match(error.message, new RegExp(message));
      return true;
    };
    await assert.rejects(client.chat.completions.create(hello), refused);
    await assert.rejects(client.chat.completions.stream(hello).finalContent(), refused);
  });
}

for (const [field, value, param] of [
  ['temperature', 3, 'temperature'],
  ['max_tokens', 'many', 'max_tokens'],
  ['messages', [], 'messages'],
  ['messages', [{ role: 'robot', content: 'x' }], 'messages[0].role'],
  ['logprobs', true, 'logprobs'],
  ['tool_choice', 'required', 'tool_choice'],
  ['tools', [{ type: 'retrieval' }], 'tools[0]'],
]) {
  test(`${field} ${JSON.stringify(value)} is refused by its name`, async (t) => {
    const { client } = await start(t);
    await assert.rejects(client.chat.completions.create({ ...hello, [field]: value }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, param);
      assert.equal(error.type, 'invalid_request_error');
      assert.ok(error.requestID);
      return true;
    });
  });
}

test('a wrong key', async (t) => {
  const env = { MODELTAP_API_KEY: 'right' };
  const { host, client } = await start(t, { env }, { apiKey: 'wrong' });
  await assert.rejects(client.chat.completions.create(hello), OpenAI.AuthenticationError);
  await assert.rejects(client.models.list(), OpenAI.AuthenticationError);
  const right = new OpenAI({ baseURL: host.v1, apiKey: 'right' });
  assert.ok((await right.chat.completions.create(hello)).choices);
});

test('what is not served', async (t) => {
  const { client } = await start(t);
  const unserved = client.embeddings.create({ model: 'm', input: 'Hello' });
  await assert.rejects(unserved, OpenAI.NotFoundError);
  await assert.rejects(client.models.retrieve('gpt-99'), OpenAI.NotFoundError);
});

test('a host without a model', async (t) => {
  // With the retries that users have: it says that none will help.
  const { client } = await start(t, { mute: true }, { maxRetries: 2 });
  await assert.rejects(client.chat.completions.create(hello), (error) => {
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.deepEqual([error.status, error.code], [503, 'no_model']);
    return true;
  });
});

test('a model that does not answer in time', async (t) => {
  const env = { MODELTAP_TIMEOUT: '300ms' };
  const { client } = await start(t, { model: silent(), env });
  await assert.rejects(client.chat.completions.create(hello), { status: 504 });
});

test('a client that leaves is told to the host', async (t) => {
  let left;
  const gone = new Promise((resolve) => (left = resolve));
  const { client } = await start(t, { model: silent(left) }, { timeout: 300 });
  const given = client.chat.completions.create(hello);
  await assert.rejects(given, OpenAI.APIConnectionTimeoutError);
  await gone;
});

test('a stream that is aborted is told to the host', async (t) => {
  let left;
  const gone = new Promise((resolve) => (left = resolve));
  const { client } = await start(t, { model: silent(left) });
  const stream = client.chat.completions.stream(hello);
  setTimeout(() => stream.abort(), 300);
  await assert.rejects(stream.finalContent(), OpenAI.APIUserAbortError);
  await gone;
});
