// `modeltap snippet`: what it prints for Node runs, and what it writes into files with comments is
// what VS Code's own parser reads.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'jsonc-parser';
import { PATIENCE, binary, startHost } from './host.js';

const run = promisify(execFile);
const HERE = path.dirname(fileURLToPath(import.meta.url));
const DATA = path.join(HERE, '../../data/snippet');
const CASES = JSON.parse(await readFile(path.join(DATA, 'cases.json'), 'utf8'));

async function folder(t, parent = tmpdir()) {
  const made = await mkdtemp(path.join(parent, 'modeltap-snippet-'));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function snippet(home, args, env = {}) {
  env = { PATH: process.env.PATH, HOME: home, MODELTAP_TOKENS: 'none', ...env };
  const { stdout } = await run(binary(), ['snippet', ...args], { env, cwd: home, timeout: PATIENCE });
  return stdout;
}

/** Reads as editors do: comments and trailing commas, and nothing else that is no JSON. */
function read(text) {
  const errors = [];
  const value = parse(text, errors, { allowTrailingComma: true });
  assert.deepEqual(errors, []);
  return value;
}

for (const { name, fixture, entry } of CASES.filter(({ format }) => format === 'jsonc')) {
  for (const ends of ['\n', '\r\n']) {
    test(`${name} has its file as it was, and modeltap, lines ending in ${JSON.stringify(ends)}`, async (t) => {
      const home = await folder(t);
      const file = path.join(home, 'file');
      const text = (await readFile(path.join(DATA, fixture), 'utf8')).replace(/\r?\n/g, ends);
      await writeFile(file, text);
      const args = [name, '--yes', '--file', file];
      await snippet(home, [...args, '--install']);
      const after = read(await readFile(file, 'utf8'));
      const [group, key] = entry;
      assert.equal(after[group][key].command, binary());
      delete after[group][key];
      const before = read(text);
      if (!(group in before)) delete after[group];
      assert.equal(JSON.stringify(after), JSON.stringify(before));
      await snippet(home, [...args, '--remove']);
      assert.equal(await readFile(file, 'utf8'), text);
    });
  }
}

for (const name of ['openai-node', 'anthropic-node']) {
  for (const key of [undefined, 'a-key-of-ones-own']) {
    test(`the printed ${name} runs ${key ? 'with a key' : 'without one'}`, async (t) => {
      const keyed = key ? { MODELTAP_API_KEY: key } : {};
      const host = await startHost(t, { env: keyed });
      // Below this folder, where its packages are found.
      const home = await folder(t, path.join(HERE, 'node_modules'));
      const code = await snippet(home, [name, '--port', new URL(host.url).port], keyed);
      assert.ok(!key || !code.includes(key));
      const file = path.join(home, 'snippet.mjs');
      await writeFile(file, code);
      const env = { PATH: process.env.PATH, ...keyed };
      const { stdout } = await run(process.execPath, [file], { env, timeout: PATIENCE });
      assert.equal(stdout, 'echo: Hello\n');
    });
  }
}
