// What only the legacy era has: the host is asked at any time, by all clients at once, and is told when
// nobody waits any more.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { PATIENCE, echo, until } from './host.js';
import * as web from './web.js';

/**
 * Registers the tests, as `chats` does. `refusal` makes what a model throws for an error's code and
 * message.
 */
export function legacy(era, start, refusal) {
  const check = (name, run) => test(`${era}: ${name}`, run);

  check('the host is asked by all clients at once, and each gets its own answer', async (t) => {
    const texts = Array.from({ length: 8 }, (_, number) => `number ${number}`);
    let waiting = 0;
    let release;
    const allThere = new Promise((resolve) => (release = resolve));
    const { root, status } = await start(t, {
      model: async ({ text }) => {
        if (text !== 'first') {
          waiting += 1;
          if (waiting === texts.length) release();
          await allThere;
        }
        return `echo: ${text}`;
      },
    });
    // Until one has succeeded, a host may be asked for one at a time.
    assert.equal((await web.complete(root, 'first')).status, 200);
    const answers = await web.several(root, texts);
    assert.deepEqual(
      answers.map(({ text, way }) => [text, way]),
      texts.map((text) => [`echo: ${text}`, 'sampling']),
    );
    assert.equal((await status()).openai_api.in_flight, 0);
  });

  check('what the host refuses is refused', async (t) => {
    const { root } = await start(t, {
      model: () => {
        throw refusal(-1, 'the person said no');
      },
    });
    const answer = await web.complete(root, 'Hello');
    assert.deepEqual([answer.status, answer.error], [403, 'host_denied']);
    assert.match(answer.body, /the person said no/);
  });

  for (const stream of [false, true]) {
    const form = stream ? 'streamed' : 'whole';
    check(`the model is stopped when its client leaves, ${form}`, async (t) => {
      let asked;
      const started = new Promise((resolve) => (asked = resolve));
      const { root } = await start(t, {
        model: ({ signal }) => {
          asked(signal);
          return new Promise((_, reject) => signal.addEventListener('abort', reject));
        },
      });
      const leaving = new AbortController();
      const asking = web.complete(root, 'Hello', { stream, signal: leaving.signal });
      const signal = await Promise.race([started, asking]);
      const stopped = once(signal, 'abort', { signal: AbortSignal.timeout(PATIENCE) });
      leaving.abort();
      await assert.rejects(asking, { name: 'AbortError' });
      await stopped;
    });
  }

  check('chats go on while the hook is open, and cancelling closes it', async (t) => {
    const { root, call, status } = await start(t, { model: echo });
    const leaving = new AbortController();
    const hooked = call('hook', {}, { signal: leaving.signal });
    await until(async () => (await status()).mcp.open_hooks === 1);
    const answers = await web.several(root, ['one', 'two', 'three', 'four']);
    assert.deepEqual(
      answers.map(({ text }) => text),
      ['echo: one', 'echo: two', 'echo: three', 'echo: four'],
    );
    leaving.abort();
    await assert.rejects(hooked);
    await until(async () => (await status()).mcp.open_hooks === 0);
  });
}
