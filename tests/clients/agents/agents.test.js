// Claude Code and Codex, each with a home of its own in a temporary folder, do a task of one file. The
// model is scripted; the way between, from their HTTP to the host and back, is real.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startHost } from '../node/host.js';
import { HOSTS } from '../node/models.js';

const PACKAGES = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules');
/** The longest that one agent may take, in milliseconds; it needs one second. */
const PATIENCE = 90_000;

const TASK = 'Create the file hello.txt with the one line: hello from the bridge';
const WRITTEN = 'hello from the bridge\n';
const DONE = 'hello.txt is written.';

const AGENTS = [
  {
    name: 'Claude Code',
    // The launcher of its package, which needs no install script to have run.
    script: '@anthropic-ai/claude-code/cli-wrapper.cjs',
    args: ['-p', TASK, '--permission-mode', 'acceptEdits', '--output-format', 'json'],
    env: ({ url, home }) => ({
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_API_KEY: 'unused',
      CLAUDE_CONFIG_DIR: home,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    }),
    tool: 'Write',
    input: (work) => ({ file_path: path.join(work, 'hello.txt'), content: WRITTEN }),
    check: (stdout) => {
      const said = JSON.parse(stdout);
      assert.deepEqual([said.is_error, said.result], [false, DONE]);
    },
  },
  {
    name: 'Codex',
    script: '@openai/codex/bin/codex.js',
    args: ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', TASK],
    env: ({ home }) => ({ CODEX_HOME: home }),
    config: (url) => `
      model = "modeltap"
      model_provider = "modeltap"
      check_for_update_on_startup = false
      [analytics]
      enabled = false
      [model_providers.modeltap]
      name = "modeltap"
      base_url = "${url}/v1"
      wire_api = "responses"
    `,
    tool: 'exec_command',
    input: () => ({ cmd: `printf %s '${WRITTEN}' > hello.txt` }),
    check: (stdout) => assert.equal(stdout.trim(), DONE),
  },
];

/** Runs a script of one of the packages; what it said, once it has ended. */
function run(script, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(PACKAGES, script), ...args], {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
      // It leads a group of its own, so that what it started ends with it.
      detached: true,
    });
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].on('data', (data) => (said[name] += data));
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
    child.on('close', (code, signal) => resolve({ ...said, code, signal }));
  });
}

for (const agent of AGENTS) {
  for (const { kind, tools } of HOSTS) {
    test(`${agent.name} writes a file on ${kind}`, async (t) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'modeltap-agent-'));
      t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
      const [home, work] = ['home', 'work'].map((name) => path.join(folder, name));
      await mkdir(home);
      await mkdir(work);
      const host = await startHost(t, {
        tools,
        model: ({ tools, results }) => {
          // Such as a title for the session, which agents ask for beside the task.
          if (!tools.includes(agent.tool)) return 'A file';
          if (results.length) return DONE;
          return { text: 'I write it.', calls: [{ name: agent.tool, input: agent.input(work) }] };
        },
      });
      if (agent.config) await writeFile(path.join(home, 'config.toml'), agent.config(host.url));
      // Whatever else they reach for ends at a port that nobody listens on.
      const nowhere = 'http://127.0.0.1:9';
      const env = {
        PATH: process.env.PATH,
        HOME: home,
        HTTP_PROXY: nowhere,
        HTTPS_PROXY: nowhere,
        NO_PROXY: '127.0.0.1,localhost',
        ...agent.env({ url: host.url, home }),
      };
      const said = await run(agent.script, agent.args, { cwd: work, env });
      const told = `${said.stdout}\n${said.stderr}`;
      assert.deepEqual([said.code, said.signal], [0, null], told);
      assert.equal(await readFile(path.join(work, 'hello.txt'), 'utf8'), WRITTEN, told);
      agent.check(said.stdout);
      assert.ok(host.asked.length >= 2);
    });
  }
}
