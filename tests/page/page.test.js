// What a person sees on the page, and what the page never does.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { faults, open, overflows, shows, texts } from './browser.js';
import { folder, run, start } from './host.js';

/** The rows of the list of exchanges, as texts. */
const rows = (page) => texts(page, '#rows tr');

/** Chats and has the host answer. */
async function answered(host, said, text, more) {
  const chat = host.chat(said, more);
  host.answer(await host.asked(), text);
  return chat;
}

/** Chats and has the host fail. */
async function failed(host, said, message, more) {
  const chat = host.chat(said, more);
  host.fail(await host.asked(), message);
  return chat;
}

/** Opens the page, and waits until it is told how all is. */
async function watch(t, host, options) {
  const page = await open(t, host.url, options);
  await shows(page, '#link', /^live$/);
  return page;
}

test('a chat appears live, and how it ended', async (t) => {
  const host = await start(t);
  const page = await watch(t, host);
  await shows(page, '#model-title', /^A model is here, through sampling$/);
  await shows(page, '#model-text', /page-host/);
  await shows(page, '#open-none', /Nobody is waiting/);
  const chat = host.chat('Hello', { model: 'gpt-live' });
  const asked = await host.asked();
  await shows(page, '#open tr', /asked.*gpt-live.*sampling/);
  assert.deepEqual(await rows(page), []);
  host.answer(asked, 'Hi');
  await chat;
  await shows(page, '#rows tr', /200.*gpt-live/);
  await shows(page, '#open-none', /Nobody is waiting/);
  await failed(host, 'Hello', 'the model is tired', { model: 'gpt-tired' });
  await shows(page, '#rows tr:first-child', /403.*gpt-tired/);
  await shows(page, '#errors li', /host_denied.*the model is tired/);
  await shows(page, '#f-requests', /^2$/);
  await shows(page, '#f-errors', /^1 · 50 %$/);
  const plot = await page.$eval('#plot-requests', (svg) => svg.getAttribute('aria-label'));
  assert.match(plot, /2 in all, 1 failed/);
  await page.click('#table-times summary');
  await shows(page, '#table-times td', /\d m?s$/);
});

test('a stream is seen as it grows', async (t) => {
  const host = await start(t, { by: 'channel' });
  const page = await watch(t, host);
  await shows(page, '#model-title', /through channel/);
  const chat = host.chat('Tell a tale', { stream: true });
  const asked = await host.asked();
  await shows(page, '#open tr', /asked/);
  await page.click('#open tr');
  await host.piece(asked, 'Once upon ');
  await shows(page, '#open tr', /streaming/);
  await shows(page, '#answer-text', /^Once upon $/);
  await shows(page, '#facts', /State\s*streaming/);
  await host.piece(asked, 'a time', true);
  await chat;
  await shows(page, '#answer-text', /^Once upon a time$/);
  await shows(page, '#facts', /State\s*200/);
  await shows(page, '#facts', /First byte/);
  await shows(page, '#events li', /response_chunk/);
});

test('lists are filtered by token, model, status and id', async (t) => {
  const tokens = path.join(folder(t), 'tokens.json');
  const make = (name, ...words) => run(['token', 'add', name, ...words, '--tokens', tokens]);
  const [ann, bob, boss] = [await make('ann'), await make('bob', '--rate', '1/day'), await make('boss', '--routes', 'admin')];
  const host = await start(t, { env: { MODELTAP_TOKENS: tokens } });
  const page = await open(t, host.url, { expected: /401/ });
  await page.type('#key', boss);
  await page.keyboard.press('Enter');
  await shows(page, '#link', /^live$/);
  const first = await answered(host, 'one', 'ok', { key: ann, model: 'gpt-a' });
  await failed(host, 'two', 'no', { key: bob, model: 'claude-b' });
  assert.equal((await host.chat('three', { key: bob, model: 'claude-b' })).status, 429);
  await shows(page, '#rows tr', /429/);
  await shows(page, '#limits li', /rate_limit_exceeded.*bob/);
  await shows(page, '#tokens tr', /^ann10/);
  const fit = async (count) => {
    await page.waitForFunction((n) => [...document.querySelectorAll('#rows tr')].filter((r) => r.checkVisibility()).length === n, {}, count);
    return (await rows(page)).join('\n');
  };
  await fit(3);
  await page.select('#by-token', 'bob');
  assert.doesNotMatch(await fit(2), /ann/);
  await page.select('#by-status', '429');
  assert.match(await fit(1), /429/);
  await page.click('#filters [type=reset]');
  await fit(3);
  await page.type('#by-model', 'GPT');
  assert.match(await fit(1), /gpt-a/);
  await shows(page, '#errors-none', /None/);
  await page.click('#filters [type=reset]');
  await fit(3);
  await page.type('#by-id', first.id.slice(0, 12));
  assert.match(await fit(1), /ann/);
  await page.type('#by-id', 'zzz');
  await fit(0);
  await shows(page, '#none', /None that fits/);
});

test('a pause holds all still, and nothing is lost by it', async (t) => {
  const host = await start(t);
  const page = await watch(t, host);
  await answered(host, 'one', 'ok');
  await shows(page, '#count', /the last 1/);
  await page.click('#pause');
  await shows(page, '#link', /^paused$/);
  await answered(host, 'two', 'ok');
  await shows(page, '#pause', /Resume \(1 new\)/);
  assert.equal((await rows(page)).length, 1);
  await page.click('#pause');
  await shows(page, '#count', /the last 2/);
  assert.equal((await rows(page)).length, 2);
});

test('the keyboard alone opens an exchange, and Escape leads back', async (t) => {
  const host = await start(t);
  const page = await watch(t, host);
  await answered(host, 'the older', 'ok');
  const newer = await answered(host, 'the newer', 'ok');
  await shows(page, '#count', /the last 2/);
  const focused = () => page.evaluate(() => document.activeElement.closest('tr')?.dataset.id ?? document.activeElement.id);
  for (let stops = 0; (await focused()) !== newer.id; stops++) {
    assert.ok(stops < 20, 'Tab does not come to the list');
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('ArrowDown');
  assert.notEqual(await focused(), newer.id);
  await page.keyboard.press('Enter');
  await shows(page, '#request-text', /the older/);
  assert.ok(await page.$eval('#detail', (dialog) => dialog.contains(document.activeElement)));
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid', 'the focus is not seen');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('#detail').open);
  assert.notEqual(await focused(), newer.id);
  await page.keyboard.press('ArrowUp');
  assert.equal(await focused(), newer.id);
});

test('what is copied as curl asks the same again', async (t) => {
  const host = await start(t);
  const page = await watch(t, host);
  await answered(host, "it's $HOME \\ `x`", 'ok');
  await shows(page, '#rows tr', /200/);
  await page.click('#rows tr');
  await shows(page, '#curl-text', /^curl 'http:/);
  await page.click('#copy');
  await shows(page, '#copy', /^Copied$/);
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(!copied.includes('Authorization'));
  const { execFile } = await import('node:child_process');
  const again = new Promise((done) => execFile('sh', ['-c', copied], (fault, out) => done(fault ?? out)));
  const asked = await host.asked();
  assert.equal(asked.params.messages[0].content.text, "it's $HOME \\ `x`");
  host.answer(asked, 'again');
  assert.match(String(await again), /"again"/);
});

test('a key is asked for, kept for the tab alone, and forgotten', async (t) => {
  const key = 'the-key-of-this-test';
  const host = await start(t, { env: { MODELTAP_API_KEY: key } });
  const page = await open(t, host.url, { expected: /401/ });
  await shows(page, '#ask-title', /asks for a key/);
  await page.type('#key', 'a wrong one');
  await page.keyboard.press('Enter');
  await shows(page, '#ask-error', /key is wrong/);
  await page.type('#key', key);
  await page.keyboard.press('Enter');
  await shows(page, '#link', /^live$/);
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.reload();
  await shows(page, '#link', /^live$/);
  await answered(host, 'Hello', 'ok', { key });
  await shows(page, '#rows tr', /200.*admin/);
  await page.click('#rows tr');
  await shows(page, '#curl-text', /Bearer \$MODELTAP_API_KEY/);
  assert.ok(asked.length && !asked.some((url) => url.includes(key)));
  const kept = await page.evaluate(() => [document.documentElement.outerHTML + JSON.stringify(localStorage) + document.cookie, JSON.stringify(sessionStorage)]);
  assert.ok(!kept[0].includes(key) && kept[1].includes(key));
  await page.keyboard.press('Escape');
  await page.click('#forget');
  await shows(page, '#ask-title', /asks for a key/);
  assert.ok(!(await page.evaluate(() => JSON.stringify(sessionStorage))).includes(key));
});

test('what clients and models write stays text', async (t) => {
  const host = await start(t);
  const page = await watch(t, host, { expected: /requires 'TrustedHTML'/ });
  const bad = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script>';
  await answered(host, bad, bad, { model: bad });
  await failed(host, bad, bad, { model: bad });
  await shows(page, '#rows tr', /onerror/);
  await shows(page, '#errors li', /onerror/);
  await page.click('#rows tr:last-child');
  await shows(page, '#answer-text', /onerror/);
  await shows(page, '#request-text', /onerror/);
  assert.equal(await page.evaluate(() => window.hit ?? document.querySelectorAll('img, main script').length), 0);
  // Nor could a fault of the page make it more: its policy takes no markup, and no other script.
  const refused = await page.evaluate(() => {
    try {
      document.body.innerHTML += '<b>x</b>';
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(refused);
});

test('without a model it says why and what to do', async (t) => {
  const host = await start(t, { by: 'nothing' });
  const page = await watch(t, host);
  await shows(page, '#model-title', /No model is behind the bridge/);
  await shows(page, '#model-text', /next_request/);
});

test('when the bridge goes it says so, and comes back by itself', async (t) => {
  const first = await start(t);
  const page = await open(t, first.url, { expected: /Failed to load|ERR_/ });
  await shows(page, '#link', /^live$/);
  const port = new URL(first.url).port;
  await first.stop();
  await shows(page, '#notice-text', /does not answer.*Trying again/);
  await shows(page, '#link', /not connected/);
  await start(t, { env: { MODELTAP_PORT: port } });
  await shows(page, '#link', /^live$/);
  assert.deepEqual(await texts(page, '#notice'), []);
});

test('it is fit to be seen and heard by everybody, at every width', async (t) => {
  const host = await start(t, { env: { MODELTAP_RATE_LIMIT: '12/day' } });
  const page = await watch(t, host);
  const models = ['gpt-5', 'claude-sonnet-4-6', 'a/model-with-a-very-long-name-that-nobody-would-type-by-hand-2026-11-21'];
  for (let number = 0; number < 11; number++) {
    const work = number % 4 === 3 ? failed : answered;
    await work(host, `question ${number}`, `answer ${number}: ${'word '.repeat(number * 20)}`, { model: models[number % 3] });
  }
  const chat = host.chat('the one that waits', { model: models[2] });
  const asked = await host.asked();
  await host.chat('one too many');
  await shows(page, '#limits li', /rate_limit/);
  for (const width of [360, 768, 1280]) {
    for (const scheme of ['light', 'dark']) {
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
      await page.evaluate(() => scrollTo(0, 0));
      const shot = (name) => page.screenshot({ path: path.join(process.env.MODELTAP_SHOTS, `${name}-${width}-${scheme}.png`), fullPage: name === 'page' });
      assert.equal(await overflows(page), false, `${width} ${scheme}`);
      assert.deepEqual(await faults(page), [], `${width} ${scheme}`);
      await shot('page');
      await page.click('#rows tr:nth-child(3)');
      await shows(page, '#curl-text', /^curl/);
      assert.deepEqual(await faults(page), [], `${width} ${scheme}, an exchange`);
      assert.equal(await overflows(page), false, `${width} ${scheme}, an exchange`);
      await shot('exchange');
      await page.keyboard.press('Escape');
    }
  }
  // The switch goes against what the system prefers.
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.click('#theme');
  await shows(page, '#theme', /light/);
  assert.notEqual(await ground(), dark);
  host.answer(asked, 'at last');
  await chat;
});
