// MCP Inspector in both eras.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../host.js';
import * as web from '../web.js';
import { connection, inspector } from './inspector.js';

for (const era of ['legacy', 'auto', 'modern']) {
  test(`${era}: the tools are listed, and their schemas are portable`, async (t) => {
    const inspect = await inspector(t);
    // With --strict it fails where a schema would trip some client.
    const told = await inspect(['--method', 'tools/list', '--strict', '--protocol-era', era]);
    const names = told.result.tools.map(({ name }) => name);
    assert.ok(names.includes('hook') && names.includes('runtime_status'), String(names));
  });

  test(`${era}: a tool is called`, async (t) => {
    const inspect = await inspector(t);
    const call = ['--method', 'tools/call', '--tool-name', 'runtime_status'];
    const told = await inspect([...call, '--protocol-era', era]);
    assert.equal(told.result.structuredContent.mcp.client.name, 'inspector-cli');
  });
}

test('a tool that is called by many at once', async (t) => {
  const inspect = await inspector(t);
  const call = ['--method', 'tools/call', '--tool-name', 'http_server_status'];
  const told = await inspect([...call, '--load', '--load-requests', '200']);
  const { ok, requests, errors, toolErrors } = told.result;
  assert.deepEqual({ ok, requests, errors, toolErrors }, { ok: 200, requests: 200, errors: 0, toolErrors: 0 });
});

test('chats that are answered by calls of tools', async (t) => {
  const { call } = await connection(t, 'legacy', ['--backend', 'channel']);
  const { listen_url: root } = (await call('http_server_status')).structuredContent;
  const asking = web.several(root, ['one', 'two', 'three', 'four']);
  // This host does not show the events that ask it, so it looks where requests are noted.
  const seen = async () => {
    const told = await call('channel_debug_events', { kind: 'request' });
    return told.structuredContent.events;
  };
  await until(async () => (await seen()).length === 4);
  for (const event of await seen()) {
    const reply = { request_id: event.meta.request_id, content: `echo: ${event.content}` };
    const told = await call('channel_reply', reply);
    assert.ok(!told.isError, JSON.stringify(told));
  }
  assert.deepEqual(
    (await asking).map(({ text, way }) => [text, way]),
    ['one', 'two', 'three', 'four'].map((text) => [`echo: ${text}`, 'channel']),
  );
});

for (const era of ['legacy', 'modern']) {
  test(`${era}: chats that are answered by a loop of next_request`, async (t) => {
    const args = ['--backend', 'pull', '--host-wait', '20s'];
    const { call } = await connection(t, era, args);
    const { listen_url: root } = (await call('http_server_status')).structuredContent;
    const texts = ['one', 'two', 'three', 'four'];
    const asking = web.several(root, texts);
    let reply;
    for (const _ of texts) {
      const told = await call('next_request', reply ? { reply } : {});
      const { request_id, prompt } = told.structuredContent;
      reply = { request_id, content: `echo: ${prompt.split('USER: ').at(-1)}` };
    }
    // The last reply, with which it does not wait for more.
    await call('next_request', { reply, wait_seconds: 1 });
    assert.deepEqual(
      (await asking).map(({ text, way }) => [text, way]),
      texts.map((text) => [`echo: ${text}`, 'pull']),
    );
  });
}
