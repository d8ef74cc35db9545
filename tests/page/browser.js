// A page in a real Chromium, watched: whatever it logs as an error, and wherever it asks.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after } from 'node:test';
import puppeteer from 'puppeteer-core';
import { PATIENCE, atEnd } from './host.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The browser of all tests. */
export const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  // As root, which is how CI's machine runs it, it has no sandbox.
  args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), '--disable-dev-shm-usage', '--no-proxy-server'],
});
after(() => browser.close());

/**
 * Opens a bridge's page in a tab that shares nothing with others. At the end of the test it must have
 * logged no error but such as `expected` matches, and asked nobody but the bridge.
 */
export async function open(t, url, { width = 1280, height = 900, dark = false, expected = /^$/ } = {}) {
  const context = await browser.createBrowserContext();
  await context.overridePermissions(url, ['clipboard-read', 'clipboard-write', 'clipboard-sanitized-write']);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
    { name: 'prefers-reduced-motion', value: 'reduce' },
  ]);
  const errors = [];
  const elsewhere = [];
  page.on('console', (said) => {
    if (['error', 'warn'].includes(said.type())) errors.push(said.text());
  });
  page.on('pageerror', (fault) => errors.push(String(fault)));
  page.on('request', (request) => {
    const to = request.url();
    if (!to.startsWith(`${url}/`) && !to.startsWith('data:')) elsewhere.push(to);
  });
  atEnd(t, async () => {
    await context.close();
    assert.deepEqual(errors.filter((text) => !expected.test(text)), [], 'the console has errors');
    assert.deepEqual(elsewhere, [], 'a request left the origin');
  });
  await page.goto(`${url}/`, { waitUntil: 'domcontentloaded' });
  return page;
}

/** Waits until an element that `selector` finds has a text that `wanted` matches. */
export function shows(page, selector, wanted) {
  const { source, flags } = wanted;
  return page.waitForFunction(
    (selector, source, flags) =>
      [...document.querySelectorAll(selector)].some(
        (e) => e.checkVisibility() && new RegExp(source, flags).test(e.textContent),
      ),
    {},
    selector,
    source,
    flags,
  );
}

/** The texts of all visible elements. */
export const texts = (page, selector) =>
  page.$$eval(selector, (all) => all.filter((e) => e.checkVisibility()).map((e) => e.textContent));

/** What axe-core finds that is serious or critical. */
export async function faults(page) {
  // Into a world of its own: the page's policy lets no other script in.
  const results = await page.evaluate(`${AXE}; axe.run(document, { resultTypes: ['violations'] })`);
  return results.violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).slice(0, 3).join(' ')}`);
}

/** Whether the page is wider than its window. */
export const overflows = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
