// MCP hosts for the bridge, made of the official TypeScript client: it starts the built binary,
// shakes hands, and a scripted model answers. The client checks every request against its own
// schemas; what fails there comes back to the HTTP client as an error.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CreateMessageRequestSchema } from '@modelcontextprotocol/sdk/types.js';

// Clients read proxies, keys and addresses from the environment, and must find none there: traffic
// stays on this machine.
for (const name of Object.keys(process.env)) {
  if (/_proxy$/i.test(name) || /^(OPENAI|ANTHROPIC|AI_GATEWAY)_/.test(name)) delete process.env[name];
}

/** The longest that a test waits for what should come at once, in milliseconds. */
export const PATIENCE = 20_000;

/** The binary under test: MODELTAP_BIN, or what cargo built last. */
export function binary() {
  if (process.env.MODELTAP_BIN) return process.env.MODELTAP_BIN;
  const crate = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
  const target = path.resolve(crate, process.env.CARGO_TARGET_DIR ?? 'target');
  for (const profile of ['release', 'debug']) {
    for (const name of ['modeltap', 'modeltap.exe']) {
      const file = path.join(target, profile, name);
      if (existsSync(file)) return file;
    }
  }
  throw new Error(`no modeltap in ${target}: run cargo build --release, or set MODELTAP_BIN`);
}

/** The blocks of a message, whose content is one block or several. */
export const blocksOf = (message) => [message.content].flat();

/** The text of a message. */
export const textOf = (message) =>
  blocksOf(message)
    .map((block) => block.text ?? '')
    .join('');

/** The simplest model: it says what it was told. */
export const echo = ({ said }) => `echo: ${said}`;

/**
 * Starts a bridge whose host has this model, and ends it with the test `t`.
 *
 * With `tools` the host takes tools as such; else it only knows text, and calls of its model are
 * markup. The model is a function of what it is told, alike for both kinds of host:
 *   said     the text of the last message
 *   tools    the names of the tools on offer
 *   results  the texts of all results of tools so far
 *   turns    how often it has spoken before in this conversation
 *   params   the request itself
 *   signal   aborted when the bridge does not wait any more
 * It returns a text, or `{text, calls: [{name, input}], stopReason}`, or throws what the host is to
 * answer. `host.asked` has the parameters of every request.
 */
export async function startHost(t, { model = echo, tools = false, env = {}, mute = false } = {}) {
  const transport = new StdioClientTransport({
    command: binary(),
    // The library passes on HOME, PATH and the like of the caller's environment, no more.
    env: { MODELTAP_PORT: '0', MODELTAP_TOKENS: 'none', MODELTAP_CONSENT_HOLD: '0', ...env },
    stderr: 'pipe',
  });
  let stderr = '';
  transport.stderr.on('data', (data) => (stderr += data));
  const sampling = tools ? { tools: {} } : {};
  const client = new Client(
    { name: 'node-host', version: '1' },
    { capabilities: mute ? {} : { sampling } },
  );
  const asked = [];
  if (!mute) {
    client.setRequestHandler(CreateMessageRequestSchema, async ({ params }, { signal }) => {
      asked.push(params);
      const heard = tools ? nativelyHeard(params) : heardInWords(params);
      return answer(await model({ ...heard, params, signal }), tools, asked.length);
    });
  }
  t.after(async () => {
    await client.close();
    // Told where it is of use: before Node 22 a test does not know whether it has passed.
    if (t.passed === false || process.env.SHOW_STDERR) process.stderr.write(stderr);
  });
  await client.connect(transport);
  const call = async (name, args = {}) => {
    const result = await client.callTool({ name, arguments: args });
    return result.structuredContent;
  };
  const { listen_url: url } = await call('http_server_status');
  return { url, v1: `${url}/v1`, asked, call, client };
}

/** What a host that takes tools is told. */
function nativelyHeard(params) {
  const blocks = params.messages.flatMap(blocksOf);
  return {
    said: textOf(params.messages.at(-1)),
    tools: params.toolChoice?.mode === 'none' ? [] : (params.tools ?? []).map(({ name }) => name),
    results: blocks
      .filter((block) => block.type === 'tool_result')
      .map((block) => block.content.map((part) => part.text ?? '').join('')),
    turns: params.messages.filter((message) => message.role === 'assistant').length,
  };
}

/** What a host that knows only text is told. */
function heardInWords(params) {
  const offers = (params.systemPrompt ?? '').matchAll(/^\{"name":("(?:[^"\\]|\\.)*"),"desc/gm);
  const result = /Result of the tool call \S+:\n([^]*)/;
  return {
    said: textOf(params.messages.at(-1)),
    tools: [...offers].map((offer) => JSON.parse(offer[1])),
    results: params.messages
      .map((message) => result.exec(textOf(message))?.[1])
      .filter((text) => text !== undefined),
    turns: params.messages.filter((message) => message.role === 'assistant').length,
  };
}

/** What a model said, in the terms of its host. */
function answer(said, tools, count) {
  const { text = '', calls = [], stopReason } = typeof said === 'string' ? { text: said } : said;
  const whole = { role: 'assistant', model: 'scripted-model' };
  if (tools) {
    const uses = calls.map(({ name, input }, at) => {
      return { type: 'tool_use', id: `use_${count}_${at}`, name, input };
    });
    const blocks = [...(text || !uses.length ? [{ type: 'text', text }] : []), ...uses];
    const content = blocks.length === 1 ? blocks[0] : blocks;
    return { ...whole, content, stopReason: stopReason ?? (uses.length ? 'toolUse' : 'endTurn') };
  }
  const markup = calls.map(({ name, input }) => {
    return `<tool_call>${JSON.stringify({ name, arguments: input })}</tool_call>`;
  });
  const content = { type: 'text', text: [text, ...markup].filter(Boolean).join('\n') };
  return { ...whole, content, stopReason: stopReason ?? 'endTurn' };
}
