// The AI SDK, `ai`, with its providers for chat completions and messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, generateText, stepCountIs, streamText, tool } from 'ai';
import { startHost } from './host.js';
import {
  ANN, ANSWER, HOSTS, Person, QUESTION, chatter, oneByOne, person, refusing, weather,
} from './models.js';

const PROVIDERS = {
  '@ai-sdk/openai': ({ v1 }, apiKey) => createOpenAI({ baseURL: v1, apiKey }).chat('gpt-4.1'),
  '@ai-sdk/openai-compatible': ({ v1 }, apiKey) =>
    createOpenAICompatible({
      name: 'modeltap', baseURL: v1, apiKey, supportsStructuredOutputs: true, includeUsage: true,
    })('m'),
  '@ai-sdk/anthropic': ({ v1 }, apiKey) => createAnthropic({ baseURL: v1, apiKey })('claude-opus-5-5'),
};

for (const [name, modelOf] of Object.entries(PROVIDERS)) {
  const start = async (t, options) => {
    const host = await startHost(t, options);
    return { host, asked: { model: modelOf(host, 'unused'), prompt: 'Hello', maxRetries: 0 } };
  };

  test(`${name}: text, whole and streamed`, async (t) => {
    const { host, asked } = await start(t);
    const whole = await generateText({ ...asked, system: 'Be brief.' });
    assert.equal(whole.text, 'echo: Hello');
    assert.equal(whole.finishReason, 'stop');
    assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
    assert.equal(host.asked[0].systemPrompt, 'Be brief.');
    const stream = streamText(asked);
    let text = '';
    for await (const delta of stream.textStream) text += delta;
    assert.equal(text, 'echo: Hello');
    assert.equal(await stream.finishReason, 'stop');
    assert.ok((await stream.usage).outputTokens > 0);
  });

  for (const { kind, tools } of HOSTS) {
    for (const ask of [generateText, streamText]) {
      test(`${name}: an agent loop of two calls with ${ask.name} on ${kind}`, async (t) => {
        const { host, asked } = await start(t, { model: oneByOne, tools });
        const called = [];
        const execute = (input) => {
          called.push(input.city);
          return weather.run(input);
        };
        const offered = { weather: tool({ ...weather, inputSchema: weather.zod, execute }) };
        const answer = await ask({
          ...asked, prompt: QUESTION, tools: offered, stopWhen: stepCountIs(5),
        });
        assert.equal(await answer.text, ANSWER);
        const steps = await answer.steps;
        assert.deepEqual(steps.map(({ text }) => text), ['I look.', '', ANSWER]);
        assert.deepEqual(steps.map((step) => step.finishReason), ['tool-calls', 'tool-calls', 'stop']);
        assert.deepEqual(called, ['Paris', 'Rome']);
        assert.equal(host.asked.length, 3);
      });
    }

    test(`${name}: a structured answer of ${kind}`, async (t) => {
      const { asked } = await start(t, { model: person, tools });
      const wanted = { ...asked, output: Output.object({ schema: Person }) };
      assert.deepEqual((await generateText(wanted)).output, ANN);
      assert.deepEqual(await streamText(wanted).output, ANN);
    });
  }

  test(`${name}: errors say their status and whether to try again`, async (t) => {
    const refused = async (host, options, status, isRetryable, apiKey = 'right') => {
      const asked = { model: modelOf(host, apiKey), prompt: 'Hello', maxRetries: 0, ...options };
      await assert.rejects(generateText(asked), (error) => {
        assert.ok(APICallError.isInstance(error), error);
        assert.deepEqual([error.statusCode, error.isRetryable], [status, isRetryable]);
        return true;
      });
    };
    const env = { MODELTAP_API_KEY: 'right' };
    const denied = await startHost(t, { model: refusing(-1, 'the user said no'), env });
    await refused(denied, {}, 401, false, 'wrong');
    await refused(denied, {}, 403, false);
    const chats = await startHost(t, { model: chatter });
    await refused(chats, { output: Output.object({ schema: Person }) }, 502, true);
    await refused(await startHost(t, { mute: true }), {}, 503, true);
  });
}
