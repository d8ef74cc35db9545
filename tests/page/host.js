// A bridge with an MCP host of the test's own at its pipes, and what its clients ask.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

/** The longest that a test waits for what should come at once, in milliseconds. */
export const PATIENCE = 20_000;

const binary = process.env.MODELTAP_BIN;

const ends = new WeakMap();

/** Does `work` at the end of the test; what was begun last ends first. */
export function atEnd(t, work) {
  if (!ends.has(t)) {
    ends.set(t, []);
    t.after(async () => {
      for (const end of ends.get(t).reverse()) await end();
    });
  }
  ends.get(t).push(work);
}

/** Runs the binary with these words to its end; what it prints. */
export function run(words) {
  return new Promise((good, bad) => {
    const child = spawn(binary, words, { env: {} });
    let out = '';
    child.stdout.on('data', (data) => (out += data));
    child.on('error', bad);
    child.on('close', (code) => (code === 0 ? good(out.trim()) : bad(new Error(`${words}: ${code}`))));
  });
}

/** A folder that is removed with the test. */
export function folder(t) {
  const made = mkdtempSync(path.join(os.tmpdir(), 'modeltap-page-'));
  atEnd(t, () => rmSync(made, { recursive: true, force: true }));
  return made;
}

/**
 * Starts a bridge and shakes hands: `by` is `sampling` or `channel`, or `nothing` for a host without a
 * model. What the host is asked waits in `asked()` until `answer`, `fail` or `piece` replies to it.
 */
export async function start(t, { by = 'sampling', env = {} } = {}) {
  const settings = { MODELTAP_PORT: '0', MODELTAP_TOKENS: 'none', MODELTAP_CONSENT_HOLD: '0' };
  const child = spawn(binary, [], { env: { ...settings, MODELTAP_LOG: 'off', ...env } });
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  const ended = new Promise((done) => child.on('close', done));
  const stop = async () => {
    child.stdin.end();
    const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
    await ended;
    clearTimeout(late);
  };
  atEnd(t, async () => {
    await stop();
    if (stderr) process.stderr.write(stderr);
  });
  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  const results = new Map();
  const asked = [];
  const waiting = [];
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    if (!message.method) return results.get(message.id)?.(message.result);
    const params = message.params;
    const known = { 'sampling/createMessage': true, 'notifications/claude/channel': true };
    if (!known[message.method]) return;
    const one = { id: message.id ?? params.meta.request_id, params };
    if (waiting.length) waiting.shift()(one);
    else asked.push(one);
  });
  let count = 0;
  const request = (method, params) =>
    new Promise((done) => {
      results.set(++count, done);
      send({ id: count, method, params });
    });
  const call = async (name, args = {}) =>
    (await request('tools/call', { name, arguments: args })).structuredContent;
  const clientInfo = { name: by === 'channel' ? 'claude-code' : 'page-host', version: '1' };
  const capabilities = by === 'sampling' ? { sampling: {} } : {};
  await request('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo });
  send({ method: 'notifications/initialized' });
  await request('ping', {});
  const url = (await call('http_server_status')).listen_url;
  return {
    url,
    call,
    stop,
    /** What the host is asked next. */
    asked: () => asked.shift() ?? new Promise((one) => waiting.push(one)),
    answer: ({ id }, text) => {
      const content = { type: 'text', text };
      send({ id, result: { role: 'assistant', content, model: 'test-model', stopReason: 'endTurn' } });
    },
    fail: ({ id }, message) => send({ id, error: { code: -32000, message } }),
    piece: ({ id }, delta, done = false) => call('channel_reply_stream', { request_id: id, delta, done }),
    /** Posts a chat; the answer's text, when it has come whole. */
    chat: async (content, { model = 'gpt-x', key, stream = false, ...more } = {}) => {
      const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) };
      const body = JSON.stringify({ model, stream, messages: [{ role: 'user', content }], ...more });
      const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body });
      return { status: answer.status, id: answer.headers.get('x-request-id'), text: await answer.text() };
    },
  };
}
