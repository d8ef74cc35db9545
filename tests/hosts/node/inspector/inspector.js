// MCP Inspector as a host: its command line, which starts the binary anew for each command, and its
// `mcpdo`, whose daemon keeps the binary between commands. Neither offers sampling.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PATIENCE, server } from '../host.js';

const programs = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/.bin');
const run = promisify(execFile);

/** A home of its own for each test, so that nothing of the user's is read or changed; `end` comes first. */
async function home(t, end = () => {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'modeltap-inspector-'));
  t.after(async () => {
    await end();
    await rm(folder, { recursive: true, force: true });
  });
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    MCP_INSPECTOR_SECRET_STORE: 'memory',
    MCP_INSPECTOR_DAEMON_DIR: path.join(folder, 'daemon'),
    MCP_INSPECTOR_DAEMON_TOKEN: 'of-this-test',
  };
  return { folder, options: { timeout: PATIENCE, env } };
}

/** The command line: `inspect(args, own)` runs a method with the binary, whose own arguments come last. */
export async function inspector(t) {
  const { options } = await home(t);
  const { command, env } = server();
  const settings = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  return async (args, own = []) => {
    const ours = ['--cli', '--format', 'json', '--quiet', ...settings, command, ...own];
    const { stdout } = await run(path.join(programs, 'mcp-inspector'), [...ours, ...args], options);
    return JSON.parse(stdout);
  };
}

/** A kept connection, opened in this era, to the binary with these arguments; `call(tool, args)` is what it does. */
export async function connection(t, era, args = []) {
  const { folder, options } = await home(t, () => mcpdo('daemon', 'stop'));
  const config = path.join(folder, 'servers.json');
  const { command, env } = server();
  await writeFile(config, JSON.stringify({ mcpServers: { modeltap: { command, args, env } } }));
  const mcpdo = async (...words) => {
    const running = run(path.join(programs, 'mcpdo'), ['--format', 'json', ...words], options);
    running.child.stdin.end();
    return (await running).stdout;
  };
  await mcpdo('--config', config, 'connect', 'modeltap', '--era', era, '--elicit', 'off');
  return {
    call: async (tool, input = {}) => {
      const words = ['--connection', 'modeltap', 'tools/call', tool, JSON.stringify(input)];
      return JSON.parse(await mcpdo(...words));
    },
  };
}
