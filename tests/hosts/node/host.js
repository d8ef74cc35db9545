// What the hosts made of the official TypeScript clients have in common: how the binary is started,
// and what a model is told and may say. The objects of both releases are alike; only how one makes a
// client differs, which each folder's own test says.

// The clients read no proxies, keys or addresses from the environment: traffic stays on this machine.
for (const name of Object.keys(process.env)) {
  if (/_proxy$/i.test(name)) delete process.env[name];
}

/** The longest that a test waits for what should come at once, in milliseconds. */
export const PATIENCE = 20_000;

/** How the host calls itself. */
export const CLIENT_NAME = 'matrix-host';

/** What a transport needs to start the binary; `tests/hosts/run` names it. */
export const server = (args = []) => ({
  command: process.env.MODELTAP_BIN,
  args,
  // The library passes on HOME, PATH and the like of the caller's environment, no more.
  env: { MODELTAP_PORT: '0', MODELTAP_TOKENS: 'none' },
  stderr: 'pipe',
});

const blocksOf = ({ content }) => [content].flat();

/** The simplest model: it says what it was told. */
export const echo = ({ text }) => `echo: ${text}`;

/**
 * Answers a sampling request with this model, a function that may be async. It gets
 *   text    of the last message, or of its tool's result
 *   kinds   the types of all blocks of all messages
 *   tools   the names of the tools on offer
 *   params  the request itself
 *   signal  aborted when nobody waits any more
 * and returns a text or `{name, input}`, a call of a tool, or throws what the host is to answer.
 */
export async function sample(model, params, signal) {
  const last = blocksOf(params.messages.at(-1)).flatMap((block) => block.content ?? block);
  const said = await model({
    text: last.map((block) => block.text ?? '').join(''),
    kinds: params.messages.flatMap(blocksOf).map(({ type }) => type),
    tools: (params.tools ?? []).map(({ name }) => name),
    params,
    signal,
  });
  const content =
    typeof said === 'string'
      ? { type: 'text', text: said }
      : { type: 'tool_use', id: 'use_1', ...said };
  const stopReason = typeof said === 'string' ? 'endTurn' : 'toolUse';
  return { role: 'assistant', model: 'scripted-model', content, stopReason };
}

/**
 * Connects a client, and ends it with the test `t`; what the tests use of it. `callTool(params, options)`
 * is where the releases differ.
 */
export async function connect(t, client, transport, callTool) {
  let stderr = '';
  transport.stderr.on('data', (data) => (stderr += data));
  const close = () => client.close();
  t.after(async () => {
    await close();
    // Told where it is of use: before Node 22 a test does not know whether it has passed.
    if (t.passed === false || process.env.SHOW_STDERR) process.stderr.write(stderr);
  });
  await client.connect(transport);
  const call = (name, args = {}, options) => callTool({ name, arguments: args }, options);
  const told = async (name) => (await call(name)).structuredContent;
  return {
    client,
    call,
    close,
    status: () => told('runtime_status'),
    root: (await told('http_server_status')).listen_url,
  };
}

/** Waits until it holds, by asking again and again. */
export async function until(holds) {
  const deadline = Date.now() + PATIENCE;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error('it did not come to pass');
  }
}
