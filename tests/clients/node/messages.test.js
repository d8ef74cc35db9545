// The official `@anthropic-ai/sdk` package on /v1/messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { PATIENCE, startHost } from './host.js';
import {
  ANN, ANSWER, HOSTS, Person, QUESTION, atOnce, chatter, oneByOne, person, refusing, silent, weather,
} from './models.js';

async function start(t, options, more = {}) {
  const host = await startHost(t, options);
  const client = new Anthropic({
    baseURL: host.url, apiKey: 'unused', maxRetries: 0, timeout: PATIENCE, ...more,
  });
  return { host, client };
}

const user = (content) => [{ role: 'user', content }];
const base = { model: 'claude-opus-5-5', max_tokens: 200 };
const hello = { ...base, messages: user('Hello') };
const offered = {
  name: weather.name, description: weather.description, input_schema: weather.schema,
};
const textOf = (message) =>
  message.content.filter(({ type }) => type === 'text').map(({ text }) => text).join('');

test('a whole answer', async (t) => {
  const { host, client } = await start(t);
  const message = await client.messages.create({ ...hello, system: 'Be brief.' });
  assert.deepEqual(message.content, [{ type: 'text', text: 'echo: Hello' }]);
  assert.deepEqual([message.role, message.stop_reason], ['assistant', 'end_turn']);
  assert.equal(message.model, base.model);
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
  assert.ok(message._request_id);
  assert.equal(host.asked[0].systemPrompt, 'Be brief.');
  assert.equal(host.asked[0].maxTokens, 200);
});

test('a stream', async (t) => {
  const { client } = await start(t);
  let text = '';
  const stream = client.messages.stream(hello).on('text', (delta) => (text += delta));
  const message = await stream.finalMessage();
  assert.equal(text, 'echo: Hello');
  assert.deepEqual(message.content, [{ type: 'text', text }]);
  assert.equal(message.stop_reason, 'end_turn');
  assert.ok(message.usage.output_tokens > 0);
});

test('the listed models', async (t) => {
  const { client } = await start(t, { env: { MODELTAP_MODELS: 'claude-a,claude-b' } });
  const names = [];
  for await (const model of client.models.list()) names.push([model.id, model.type]);
  assert.deepEqual(names, [['claude-a', 'model'], ['claude-b', 'model']]);
  assert.ok((await client.models.retrieve('claude-b')).display_name);
});

test('tokens are counted without a host', async (t) => {
  const { client } = await start(t, { mute: true });
  const few = await client.messages.countTokens({ model: 'm', messages: user('Hello') });
  const more = await client.messages.countTokens({
    model: 'm', messages: user('Hello'), system: 'Be brief.', tools: [offered],
  });
  assert.ok(0 < few.input_tokens && few.input_tokens < more.input_tokens);
});

test('a thread, which the bridge holds not', async (t) => {
  const { host, client } = await start(t);
  const thread = client.beta.messages.thread(base);
  assert.equal(textOf(await thread.send({ role: 'user', content: 'one' })), 'echo: one');
  assert.equal(textOf(await thread.send({ role: 'user', content: 'two' })), 'echo: two');
  const said = host.asked[1].messages.map((message) => message.content.text);
  assert.deepEqual(said, ['one', 'echo: one', 'two']);
});

for (const { kind, tools } of HOSTS) {
  for (const stream of [false, true]) {
    const how = `${kind}, ${stream ? 'streamed' : 'whole'}`;

    test(`an agent loop of two calls on ${how}`, async (t) => {
      const { host, client } = await start(t, { model: oneByOne, tools });
      const called = [];
      const run = (input) => {
        called.push(input.city);
        return weather.run(input);
      };
      const runner = client.beta.messages.toolRunner({
        ...base,
        messages: user(QUESTION),
        stream,
        tools: [betaZodTool({ ...weather, inputSchema: weather.zod, run })],
      });
      const texts = [];
      for await (const turn of runner) {
        texts.push(textOf(stream ? await turn.finalMessage() : turn));
      }
      assert.deepEqual(texts, ['I look.', '', ANSWER]);
      assert.deepEqual(called, ['Paris', 'Rome']);
      assert.equal(host.asked.length, 3);
    });

    test(`two calls in one answer of ${how}`, async (t) => {
      const { client } = await start(t, { model: atOnce, tools });
      const ask = (messages) => {
        const body = { ...base, messages, tools: [offered] };
        return stream ? client.messages.stream(body).finalMessage() : client.messages.create(body);
      };
      const { content, stop_reason } = await ask(user(QUESTION));
      assert.equal(stop_reason, 'tool_use');
      assert.deepEqual(content.map(({ input }) => input.city), ['Paris', 'Rome']);
      const results = content.map(({ id, input }) => {
        return { type: 'tool_result', tool_use_id: id, content: weather.run(input) };
      });
      const history = [...user(QUESTION), { role: 'assistant', content }];
      const last = await ask([...history, { role: 'user', content: results }]);
      assert.equal(textOf(last), ANSWER);
      assert.equal(last.stop_reason, 'end_turn');
    });
  }

  test(`a choice of tools on ${kind}`, async (t) => {
    const { client } = await start(t, { model: oneByOne, tools });
    const ask = (tool_choice) =>
      client.messages.create({ ...base, messages: user(QUESTION), tools: [offered], tool_choice });
    for (const choice of [{ type: 'any' }, { type: 'tool', name: 'weather' }]) {
      assert.equal((await ask(choice)).content.at(-1).name, 'weather');
    }
    assert.equal(textOf(await ask({ type: 'none' })), 'I have no tools.');
  });

  test(`a structured answer of ${kind}`, async (t) => {
    const { host, client } = await start(t, { model: person, tools });
    const body = { ...hello, output_config: { format: zodOutputFormat(Person) } };
    const message = await client.messages.parse(body);
    assert.deepEqual(message.parsed_output, ANN);
    // It was asked once more, for the first answer did not fit.
    assert.equal(host.asked.length, 2);
    const streamed = await client.messages.stream(body).finalMessage();
    assert.deepEqual(JSON.parse(textOf(streamed)), ANN);
  });
}

test('a history as agents send it', async (t) => {
  const { host, client } = await start(t, { tools: true });
  const cached = { cache_control: { type: 'ephemeral' } };
  await client.beta.messages.create({
    ...base,
    betas: ['context-management-2025-06-27', 'a-beta-of-tomorrow'],
    system: [{ type: 'text', text: 'Be brief.', ...cached }],
    thinking: { type: 'enabled', budget_tokens: 1024 },
    tools: [{ ...offered, ...cached }],
    messages: [
      { role: 'user', content: [{ type: 'text', text: QUESTION, ...cached }] },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Hm.', signature: 'abc' },
          { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Paris' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'toolu_1', is_error: true, content: 'no', ...cached },
          { type: 'text', text: 'Try again.' },
        ],
      },
    ],
  });
  const [question, call, result, more] = host.asked[0].messages;
  assert.equal(question.content.text, QUESTION);
  assert.deepEqual([call.content].flat().map(({ type }) => type), ['tool_use']);
  assert.deepEqual(result.content[0].isError, true);
  assert.equal(more.content.text, 'Try again.');
});

test('an answer that has not the form asked for, twice', async (t) => {
  const { client } = await start(t, { model: chatter });
  const body = { ...hello, output_config: { format: zodOutputFormat(Person) } };
  await assert.rejects(client.messages.create(body), (error) => {
    assert.ok(error instanceof Anthropic.InternalServerError);
    assert.equal(error.status, 502);
    return true;
  });
});

for (const [code, message, kind, status, type] of [
  [-1, 'User rejected sampling request', Anthropic.PermissionDeniedError, 403, 'permission_error'],
  [-32603, 'the model is on fire', Anthropic.InternalServerError, 502, 'api_error'],
  [-32603, 'prompt is too long', Anthropic.BadRequestError, 400, 'invalid_request_error'],
]) {
  test(`a host that answers ${code} ${message}`, async (t) => {
    const { client } = await start(t, { model: refusing(code, message) });
    const refused = (error) => {
      assert.ok(error instanceof Anthropic.APIError);
      // A stream's head may have left before the host said no.
      if (error.status !== undefined && error.status !== 200) {
        assert.ok(error instanceof kind, error.constructor.name);
        assert.equal(error.status, status);
      }
      assert.equal(error.error.error.type, type);
      assert.match(error.message, new RegExp(message));
      assert.ok(error.requestID);
      return true;
    };
    await assert.rejects(client.messages.create(hello), refused);
    await assert.rejects(client.messages.stream(hello).finalMessage(), refused);
  });
}

for (const [more, words] of [
  [{ temperature: 1.5 }, 'temperature'],
  [{ max_tokens: 'many' }, 'max_tokens'],
  [{ messages: [] }, 'messages'],
  [{ messages: user([{ type: 'audio' }]) }, 'messages.0.content.0'],
  [{ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'web_search_20250305'],
]) {
  test(`${JSON.stringify(more)} is refused by its name`, async (t) => {
    const { client } = await start(t);
    await assert.rejects(client.messages.create({ ...hello, ...more }), (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError);
      assert.equal(error.error.error.type, 'invalid_request_error');
      assert.ok(error.message.includes(words), error.message);
      return true;
    });
  });
}

test('a wrong key', async (t) => {
  const env = { MODELTAP_API_KEY: 'right' };
  const { host, client } = await start(t, { env }, { apiKey: 'wrong' });
  await assert.rejects(client.messages.create(hello), Anthropic.AuthenticationError);
  await assert.rejects(client.models.list(), Anthropic.AuthenticationError);
  const given = [{ apiKey: 'right' }, { authToken: 'right', apiKey: null }];
  const others = [{ apiKey: null, defaultHeaders: { 'x-api-key': 'right', authorization: null } }];
  for (const credentials of [...given, ...others]) {
    const right = new Anthropic({ baseURL: host.url, maxRetries: 0, ...credentials });
    assert.equal((await right.messages.create(hello)).type, 'message');
  }
});

test('what is not served', async (t) => {
  const { client } = await start(t);
  await assert.rejects(client.messages.batches.list(), Anthropic.NotFoundError);
  await assert.rejects(client.models.retrieve('claude-99'), Anthropic.NotFoundError);
});

test('a host without a model', async (t) => {
  // With the retries that users have: it says that none will help.
  const { client } = await start(t, { mute: true }, { maxRetries: 2 });
  await assert.rejects(client.messages.create(hello), (error) => {
    assert.ok(error instanceof Anthropic.InternalServerError);
    assert.equal(error.status, 503);
    assert.match(error.message, /sampling/);
    return true;
  });
});

test('a model that does not answer in time', async (t) => {
  const env = { MODELTAP_TIMEOUT: '300ms' };
  const { client } = await start(t, { model: silent(), env });
  await assert.rejects(client.messages.create(hello), { status: 504 });
});

test('a silent stream is kept open', async (t) => {
  const model = () => new Promise((resolve) => setTimeout(resolve, 700, 'At last.'));
  const { client } = await start(t, { model, env: { MODELTAP_KEEP_ALIVE: '100ms' } });
  assert.equal(textOf(await client.messages.stream(hello).finalMessage()), 'At last.');
});

test('a client that leaves is told to the host', async (t) => {
  let left;
  const gone = new Promise((resolve) => (left = resolve));
  const { client } = await start(t, { model: silent(left) });
  const stream = client.messages.stream(hello);
  setTimeout(() => stream.abort(), 300);
  await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
  await gone;
});
