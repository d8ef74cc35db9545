// `modeltap snippet --install` into a home as it may be, judged by the programs themselves: each lists
// modeltap beside what it had, and after `--remove` no more.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { binary, startHost } from '../node/host.js';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DATA = path.join(HERE, '../../data/snippet');
const CASES = JSON.parse(await readFile(path.join(DATA, 'cases.json'), 'utf8'));
/** The longest that one run may take, in milliseconds; it needs some seconds. */
const PATIENCE = 90_000;

const PROGRAMS = [
  { name: 'claude-code', script: '@anthropic-ai/claude-code/cli-wrapper.cjs', other: 'context7' },
  { name: 'codex', script: '@openai/codex/bin/codex.js', other: 'context7' },
  { name: 'gemini-cli', script: '@google/gemini-cli/bundle/gemini.js' },
  { name: 'copilot-cli', script: '@github/copilot/npm-loader.js', other: 'github-mcp-server' },
];

/** Runs a program in this home; all that it said. */
function run(program, args, home, more = {}) {
  // Whatever they reach for ends at a port that nobody listens on.
  const nowhere = 'http://127.0.0.1:9';
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    XDG_CONFIG_HOME: path.join(home, '.config'),
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    NO_PROXY: '127.0.0.1,localhost',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    COPILOT_AUTO_UPDATE: 'false',
    ...more,
  };
  return new Promise((resolve, reject) => {
    const cwd = path.join(home, 'work');
    const stdio = ['ignore', 'pipe', 'pipe'];
    // It leads a group of its own, so that what it started ends with it.
    const child = spawn(program, args, { cwd, env, stdio, detached: true });
    let said = '';
    for (const name of ['stdout', 'stderr']) child[name].on('data', (data) => (said += data));
    const end = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // All have ended.
      }
    };
    const timer = setTimeout(end, PATIENCE);
    child.on('error', reject);
    child.on('exit', () => {
      clearTimeout(timer);
      end();
    });
    child.on('close', (code) => resolve({ code, said }));
  });
}

async function home(t) {
  const made = await mkdtemp(path.join(tmpdir(), 'snippet-home-'));
  t.after(() => rm(made, { recursive: true, force: true, maxRetries: 5 }));
  await mkdir(path.join(made, 'work'));
  return made;
}

for (const { name, script, other } of PROGRAMS) {
  test(`${name} lists modeltap once it is installed`, async (t) => {
    const folder = await home(t);
    const before = new Map();
    for (const { fixture, home } of CASES.filter((one) => one.name === name)) {
      const file = path.join(folder, home);
      await mkdir(path.dirname(file), { recursive: true });
      const text = await readFile(path.join(DATA, fixture), 'utf8');
      // Claude Code starts what it lists; what is not there is known at once.
      before.set(file, text.replaceAll('"npx"', '"no-such-program"'));
      await writeFile(file, before.get(file));
    }
    const snippet = async (act) => {
      const { code, said } = await run(binary(), ['snippet', name, act, '--yes', '--port', '0'], folder);
      assert.equal(code, 0, said);
    };
    const listed = async () => {
      const file = path.join(HERE, 'node_modules', script);
      const { code, said } = await run(process.execPath, [file, 'mcp', 'list'], folder);
      assert.equal(code, 0, said);
      if (other) assert.ok(said.includes(other), said);
      return said;
    };
    await snippet('--install');
    assert.match(await listed(), /\bmodeltap\b/);
    // Some write into their files whenever they run; as they were, they come back byte for byte.
    await snippet('--remove');
    assert.doesNotMatch(await listed(), /\bmodeltap\b/);
    for (const file of before.keys()) {
      assert.ok(!(await readFile(file, 'utf8')).includes(binary()));
    }
  });
}

test('the line that is printed for Claude Code is what it takes', async (t) => {
  const folder = await home(t);
  const printed = await run(binary(), ['snippet', 'claude-code', '--port', '0'], folder);
  const line = printed.said.split('\n').find((line) => line.startsWith('claude mcp add'));
  const script = path.join(HERE, 'node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs');
  const claude = `claude() { '${process.execPath}' '${script}' "$@"; }; `;
  const added = await run('sh', ['-c', `${claude}${line}`], folder);
  assert.equal(added.code, 0, added.said);
  const said = JSON.parse(await readFile(path.join(folder, '.claude.json'), 'utf8'));
  const entry = { type: 'stdio', command: binary(), args: [], env: { MODELTAP_PORT: '0' } };
  assert.deepEqual(said.mcpServers.modeltap, entry);
  // Just what --install would have written.
  const again = await run(binary(), ['snippet', 'claude-code', '--install', '--port', '0'], folder);
  assert.doesNotMatch(again.said, /mcpServers/);
});

for (const [name, script, args, said] of [
  ['codex-client', '@openai/codex/bin/codex.js',
    ['exec', '--skip-git-repo-check', '-c', 'model_provider=modeltap', '-m', 'modeltap', 'Hello'], 'Good day.'],
  ['claude-code-client', '@anthropic-ai/claude-code/cli-wrapper.cjs', ['-p', 'Hello'], 'Good day.'],
]) {
  for (const key of [undefined, 'a-key-of-ones-own']) {
    test(`${name} asks the bridge ${key ? 'with a key' : 'without one'}`, async (t) => {
      const keyed = key ? { MODELTAP_API_KEY: key } : {};
      const host = await startHost(t, { env: keyed, model: () => said });
      const folder = await home(t);
      for (const { fixture, home } of CASES.filter((one) => one.name === name)) {
        const file = path.join(folder, home);
        await mkdir(path.dirname(file), { recursive: true });
        const text = await readFile(path.join(DATA, fixture), 'utf8');
        // Hooks and notices run programs that are not here.
        await writeFile(file, text.replace(/notify = \[[^]*?\n\]/, '').replace('"hooks"', '"$hooks"'));
      }
      const port = new URL(host.url).port;
      const installed = await run(binary(), ['snippet', name, '--install', '--yes', '--port', port], folder, keyed);
      assert.equal(installed.code, 0, installed.said);
      const file = path.join(HERE, 'node_modules', script);
      const answer = await run(process.execPath, [file, ...args], folder, keyed);
      assert.equal(answer.code, 0, answer.said);
      assert.ok(answer.said.includes(said), answer.said);
    });
  }
}
