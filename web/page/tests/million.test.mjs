// A run that says very much. Slow: it reads some 200 MB.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openPage, reaches, rows, until } from "./browser.mjs";

/** Bytes that the page may take: what it keeps of events is bounded, however many there are. */
const MAX_HEAP = 250 << 20;
/** What reading all of it may take on a machine that does much else. */
const PATIENCE_MS = 180_000;
const SAID = 1_000_000;
/** `run.started` is the first, `run.completed` the last. */
const LAST = SAID + 2;

test("a run of a million events is read while the page stays usable, and any of them is found", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "flood", events: SAID, bytes: 0 }, { id: "million" });
  const page = await at.open("#/runs/million");
  page.setDefaultTimeout(PATIENCE_MS);
  const began = performance.now();
  const list = page.getByRole("listbox", { name: "Events" });
  const sees = (seq) => until(page, (seq) => [...document.querySelectorAll(".list-row")].some((row) => row.children[0].textContent === String(seq) && row.dataset.tone !== "missing"), seq);
  const counted = () => page.evaluate(() => Number(document.querySelector(".tab-count").textContent.replaceAll(",", "")));

  // While it comes in, what a reader does is done.
  await until(page, () => document.querySelectorAll(".list-row").length > 10);
  await page.getByRole("button", { name: "Freeze" }).click();
  await page.locator(".events-state", { hasText: "new" }).first().waitFor();
  const frozen = await rows(page);
  await until(page, (said) => document.querySelector(".events-state").textContent !== said, await page.locator(".events-state").first().textContent());
  assert.deepEqual(await rows(page), frozen);
  await page.locator(".list-row").nth(3).click();
  await page.locator(".event-detail").first().getByText("attempt 1").waitFor();
  await page.getByRole("button", { name: "Unfreeze" }).click();
  await page.getByRole("tab", { name: "Log" }).click();
  await page.getByRole("tab", { name: "Events" }).click();
  const read = await counted();
  t.diagnostic(`all of this was done when ${read} events were read`);

  await until(page, (text) => document.querySelector(".tab-count").textContent === text, LAST.toLocaleString("en"));
  t.diagnostic(`read in ${Math.round(performance.now() - began)} ms`);
  await reaches(page, "completed");
  await sees(LAST);
  await list.evaluate((element) => element.scrollTo(0, 0));
  await sees(1);
  await list.evaluate((element) => element.scrollTo(0, element.scrollHeight / 2));
  await until(page, () => [...document.querySelectorAll(".list-row")].some((row) => Math.abs(Number(row.children[0].textContent) - 500_000) < 2000 && row.dataset.tone !== "missing"));
  await list.press("End");
  await sees(LAST);
  assert.ok((await rows(page)).length < 80);

  await page.getByLabel("Search events").fill('"n":777777,');
  await sees(777_778);
  await until(page, () => document.querySelector(".events-state").textContent === "1 of 1,000,002");

  const devtools = await page.context().newCDPSession(page);
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  t.diagnostic(`the page takes ${usedSize >> 20} MiB`);
  assert.ok(usedSize < MAX_HEAP, `${usedSize}`);
});
