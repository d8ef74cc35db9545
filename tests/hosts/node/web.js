// HTTP clients of the bridge, of Node's own library only: what is under test here is the host.

import { PATIENCE } from './host.js';

/** The data of a stream's events, but for the end mark. */
const events = (body) =>
  body
    .split('\n')
    .filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]')
    .map((line) => JSON.parse(line.slice('data: '.length)));

/** Sends a request; `read` adds what a part of the answer holds to it. */
async function ask(url, body, read, signal) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: signal ?? AbortSignal.timeout(PATIENCE),
  });
  const text = await response.text();
  const answer = {
    status: response.status,
    way: response.headers.get('x-mcp-backend'),
    text: '',
    calls: [],
    body: text,
  };
  if (response.status !== 200) answer.error = JSON.parse(text).error.code;
  else for (const part of body.stream ? events(text) : [JSON.parse(text)]) read(answer, part);
  return answer;
}

const user = (content) => [{ role: 'user', content }];

/** OpenAI's dialect; `messages` or the text of one. */
export function complete(root, messages, { signal, ...options } = {}) {
  if (typeof messages === 'string') messages = user(messages);
  const body = { model: 'm', messages, ...options };
  return ask(`${root}/v1/chat/completions`, body, readCompletion, signal);
}

function readCompletion(answer, { choices }) {
  for (const { message, delta } of choices) {
    const said = message ?? delta;
    answer.text += said.content ?? '';
    for (const { function: call } of said.tool_calls ?? []) {
      answer.calls.push({ name: call.name, input: JSON.parse(call.arguments) });
    }
  }
}

/** Anthropic's dialect. */
export function message(root, text, { signal, ...options } = {}) {
  const body = { model: 'm', max_tokens: 100, messages: user(text), ...options };
  return ask(`${root}/v1/messages`, body, readMessage, signal);
}

function readMessage(answer, part) {
  for (const block of part.content ?? []) answer.text += block.text ?? '';
  answer.text += part.delta?.text ?? '';
}

/** Asks all at once, every other one streamed, in both dialects; the answers. */
export const several = (root, texts) =>
  Promise.all(
    texts.map((text, number) => {
      const asks = number % 4 < 2 ? complete : message;
      return asks(root, text, { stream: number % 2 === 1 });
    }),
  );
