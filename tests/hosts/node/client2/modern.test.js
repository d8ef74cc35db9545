// The modern era: what the tool `hook` asks for is taken from the model by the library, round by round.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chats } from '../chats.js';
import { CLIENT_NAME, PATIENCE, echo, until } from '../host.js';
import * as web from '../web.js';
import { refusal, starter } from './host.js';

const ERA = ['--era', 'modern'];
// HTTP requests wait for a host, since the hook is closed for a moment between two calls.
const WAIT = ['--host-wait', `${PATIENCE / 1000}s`];
// And need not wait until the first one has succeeded.
const AT_ONCE = [...WAIT, '--consent-hold', '0'];

/**
 * Calls the hook again whenever it ends, as its result says, until it is closed. `again` tells of a
 * call that failed whether to go on; the count of calls is in what it returns.
 */
function keepOpen({ call }, again = () => false) {
  const leaving = new AbortController();
  const hooked = { calls: 0, close: () => leaving.abort() };
  const run = async () => {
    while (!leaving.signal.aborted) {
      try {
        const { content, isError } = await call('hook', {}, { signal: leaving.signal });
        assert.ok(!isError && content[0].text.includes('hook'), JSON.stringify(content));
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (!again(error)) throw error;
      }
      hooked.calls += 1;
    }
  };
  run();
  return hooked;
}

for (const [name, mode] of [
  ['modern by auto', 'auto'],
  ['modern by pin', { pin: '2026-07-28' }],
]) {
  const check = (what, run) => test(`${name}: ${what}`, run);
  const open = (t, { args = [], ...options }) =>
    starter(mode)(t, { ...options, args: [...ERA, ...args] });

  /** A host whose hook is kept open, which in this era is what lends its model. */
  const lent = async (t, options) => {
    let hooked;
    // Before the client is closed, or the open call would fail.
    t.after(() => hooked?.close());
    const host = await open(t, options.model ? { ...options, args: WAIT } : options);
    if (!options.model) return host;
    hooked = keepOpen(host);
    const close = () => {
      hooked.close();
      return host.close();
    };
    return { ...host, close };
  };

  chats(name, lent, 'hook');

  check('the era is spoken', async (t) => {
    const { client, status } = await open(t, { model: echo });
    assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
    assert.equal((await status()).mcp.client.name, CLIENT_NAME);
  });

  check('eight waiting requests are one round', async (t) => {
    const texts = Array.from({ length: 8 }, (_, number) => `number ${number}`);
    let here = 0;
    let release;
    const allHere = new Promise((resolve) => (release = resolve));
    let hooked;
    t.after(() => hooked?.close());
    const host = await open(t, {
      args: AT_ONCE,
      model: async ({ text }) => {
        here += 1;
        if (here === texts.length) release();
        await allHere;
        return `echo: ${text}`;
      },
    });
    const asking = web.several(host.root, texts);
    await until(async () => (await host.status()).openai_api.in_flight === texts.length);
    hooked = keepOpen(host);
    assert.deepEqual(
      (await asking).map(({ text, way }) => [text, way]),
      texts.map((text) => [`echo: ${text}`, 'hook']),
    );
  });

  check('a hundred rounds in a row lose nothing', async (t) => {
    let hooked;
    t.after(() => hooked?.close());
    const host = await open(t, { args: WAIT, model: echo });
    hooked = keepOpen(host);
    for (let number = 0; number < 100; number += 1) {
      const answer = await web.complete(host.root, `number ${number}`, { stream: number % 2 === 1 });
      assert.deepEqual([answer.text, answer.way], [`echo: number ${number}`, 'hook']);
    }
    // Each call ends by its eighth round, before the library would give up.
    assert.ok(hooked.calls >= Math.floor(100 / 8), String(hooked.calls));
  });

  /**
   * Asks for all of these at once with a model that refuses one of them so many times. That ends the
   * call in this library, with the other answers of its round; the server is told nothing.
   */
  const refusing = async (t, texts, refused, times) => {
    let left = times;
    let hooked;
    t.after(() => hooked?.close());
    const host = await open(t, {
      args: AT_ONCE,
      model: ({ text }) => {
        if (text === refused && left > 0) {
          left -= 1;
          throw refusal(-1, 'not now');
        }
        return `echo: ${text}`;
      },
    });
    const asking = web.several(host.root, texts);
    await until(async () => (await host.status()).openai_api.in_flight === texts.length);
    hooked = keepOpen(host, (error) => /not now/.test(error.message));
    const answers = await asking;
    assert.ok(left < times);
    assert.equal((await host.status()).openai_api.in_flight, 0);
    return answers;
  };

  check('a round that the host gives up is asked again', async (t) => {
    const answers = await refusing(t, ['one', 'two'], 'one', 1);
    assert.deepEqual(
      answers.map(({ text }) => text),
      ['echo: one', 'echo: two'],
    );
  });

  check('a request that is always refused takes no other with it', async (t) => {
    const texts = Array.from({ length: 8 }, (_, number) => `number ${number}`);
    const answers = await refusing(t, texts, 'number 4', 100);
    const [refused] = answers.splice(4, 1);
    assert.deepEqual([refused.status, refused.error], [502, 'host_error']);
    // As often as it is offered by default.
    assert.match(refused.body, /took the request 3 times/);
    assert.deepEqual(
      answers.map(({ text }) => text),
      texts.filter((text) => text !== 'number 4').map((text) => `echo: ${text}`),
    );
  });

  check('a hook that is cancelled is closed at once', async (t) => {
    const { root, call, status } = await open(t, { model: echo });
    // Often, since it must be known as closed before the next line is read.
    for (let time = 0; time < 20; time += 1) {
      const leaving = new AbortController();
      const hooked = call('hook', {}, { signal: leaving.signal });
      await until(async () => (await web.complete(root, 'Hello')).status === 200);
      leaving.abort();
      await assert.rejects(hooked);
      // Once this is answered, the cancellation before it has been read.
      assert.equal((await status()).mcp.open_hooks, 0);
      const answer = await web.complete(root, 'Hello');
      assert.deepEqual([answer.status, answer.error], [503, 'no_model']);
    }
  });
}

test('pinned to the modern era, it is not served by a binary that is told to speak the legacy one', async (t) => {
  const start = starter({ pin: '2026-07-28' });
  await assert.rejects(start(t, { model: echo, args: ['--era', 'legacy'] }), /2026-07-28/);
});
