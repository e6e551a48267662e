// The page in a browser, before a real host.

import assert from "node:assert/strict";

import { serve } from "../dev.mjs";
import { afterwards, startBrowser, startHost } from "../../client/tests/harness.mjs";

/** What a browser says by itself of a connection that was lost. */
const OF_THE_NETWORK = /Failed to load resource|ERR_|net::/;

/**
 * A host with these guests, the page before it, and a browser; undefined if the test was skipped. The test fails if the
 * page throws or breaks its Content-Security-Policy, but for what is `expected`. `answer` may answer in place of the host.
 */
export async function openPage(t, guests, options = {}) {
  const host = await startHost(t, guests, options.flags);
  const browser = host && (await startBrowser(t));
  if (!browser) return undefined;
  const { url, close } = await serve({ host: () => `http://127.0.0.1:${host.port}`, answer: options.answer });
  afterwards(t, close);
  const faults = [];
  afterwards(t, () => assert.deepEqual(faults, [], "the page has faults"));
  const open = async (path = "", { theme = "light", width = 1280, height = 800, ...more } = {}) => {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme: theme, ...more });
    page.on("pageerror", (error) => faults.push(String(error.stack)));
    page.on("console", (message) => {
      const isExpected = OF_THE_NETWORK.test(message.text()) || options.expected?.test(message.text());
      if (message.type() === "error" && !isExpected) faults.push(message.text());
    });
    await page.goto(`${url}/${path}`);
    return page;
  };
  return { host, url, open };
}

/** Waits until `look` is true of the page. */
export async function until(page, look, argument) {
  await page.waitForFunction(look, argument);
}

/** The status in the head of a run's page. */
export async function reaches(page, status) {
  await page.locator(".head-status", { hasText: status }).waitFor();
}

/** The seqs of the rows that are in the document, in order. */
export function rows(page) {
  return page.$$eval(".events:not([hidden]) .list-row .event-seq", (cells) =>
    cells.filter((cell) => cell.offsetParent).map((cell) => Number(cell.textContent)).sort((a, b) => a - b),
  );
}

/** A page that is seen, or not, whatever the browser says. */
export function setHidden(page, hidden) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}

/** Lets others run until it is so. */
export async function eventually(look) {
  while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 5));
}
