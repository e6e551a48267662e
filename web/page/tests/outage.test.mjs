// What a run's page shows while it can't hear all of it: the parts must not contradict each other.

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually, openPage, reaches, until } from "./browser.mjs";

/** An `answer` for `openPage` by which the host can be made not to be there; `only` says which requests that is about. */
function outage() {
  const out = { isOn: false, only: () => true, open: new Set() };
  out.answer = (request, response) => {
    if (out.isOn && out.only(request)) {
      response.destroy();
      return true;
    }
    out.open.add(response);
    response.on("close", () => out.open.delete(response));
    return false;
  };
  out.begin = (only = () => true) => {
    Object.assign(out, { isOn: true, only });
    for (const response of out.open) if (only(response.req)) response.destroy();
  };
  return out;
}

const isStream = (request) => /^\/stream\/[^?]*(?<!\/status)(\?|$)/.test(request.url);

/** Has the page note each state that it shows, all parts at once, before the browser draws it. */
const noteStates = (page) =>
  page.evaluate(() => {
    globalThis.states = new Set();
    const look = () => {
      const text = (selector) => [...document.querySelectorAll(selector)].at(-1)?.textContent ?? "";
      globalThis.states.add([text(".head-status"), text(".attempt-state")].join());
      requestAnimationFrame(look);
    };
    look();
  });

test("after an outage the stream comes back with the first answer, and the parts show one state", async (t) => {
  const out = outage();
  const at = await openPage(t, ["probe"], { answer: out.answer });
  if (!at) return;
  const run = await at.host.client.start("demo/probe", { do: "until-cancelled" }, { id: "going" });
  const page = await at.open("#/nowhere");
  // Pauses are as long as they can be.
  await page.addInitScript(() => (Math.random = () => 0));
  await page.clock.install();
  await page.goto(`${at.url}/#/runs/going`);
  await page.reload();
  await page.locator(".stream", { hasText: "live" }).waitFor();
  await noteStates(page);
  let asked = 0;
  page.on("request", (request) => (asked += isStream({ url: new URL(request.url()).pathname }) ? 1 : 0));
  out.begin();
  // Until the pause between two tries of the stream is long.
  await eventually(async () => {
    await page.clock.fastForward(5000);
    return asked >= 4;
  });
  await page.locator("#host", { hasText: "is not responding" }).waitFor();
  await page.locator(".stream", { hasText: "Reconnecting" }).waitFor();
  await run.cancel();
  await eventually(async () => (await run.info()).status === "cancelled");
  asked = 0;
  out.isOn = false;
  // Longer than between two looks at the run, and much shorter than the pause of the stream.
  await page.clock.fastForward(5000);
  await reaches(page, "cancelled");
  await page.locator(".stream", { hasText: /^$/ }).waitFor({ state: "attached", timeout: 8000 });
  assert.ok(asked >= 1, "the stream was asked for");
  await page.locator("#host", { hasText: /^$/ }).waitFor({ state: "attached" });
  await page.locator(".attempt-state", { hasText: "cancelled" }).waitFor();
  assert.deepEqual(await page.evaluate(() => [...globalThis.states]), ["running,running", "cancelled,cancelled"]);
});

test("while only the stream is away, all parts show how the run stands", async (t) => {
  const out = outage();
  const at = await openPage(t, ["probe"], { answer: out.answer });
  if (!at) return;
  const run = await at.host.client.start("demo/probe", { do: "until-cancelled" }, { id: "going" });
  const page = await at.open("#/runs/going");
  await page.locator(".stream", { hasText: "live" }).waitFor();
  await noteStates(page);
  out.begin(isStream);
  await page.locator(".stream", { hasText: "Reconnecting" }).waitFor();
  await run.pause();
  await reaches(page, "paused");
  // How long it ran before that is not known without the stream.
  assert.equal(await page.locator(".attempt-head .num").textContent(), "…");
  await run.cancel();
  await reaches(page, "cancelled");
  assert.deepEqual(await page.evaluate(() => [...globalThis.states]), ["running,running", "paused,paused", "cancelled,cancelled"]);
  out.isOn = false;
  // With the next look at the run, which has ended: not when a long pause is over.
  await page.waitForRequest((request) => isStream({ url: new URL(request.url()).pathname }), { timeout: 12_000 });
  await until(page, () => /\d/.test(document.querySelector(".attempt-head .num").textContent));
  assert.equal((await page.evaluate(() => [...globalThis.states])).length, 3);
});

test("an end that only the stream has told is shown by all parts", async (t) => {
  const out = outage();
  const at = await openPage(t, ["probe"], { answer: out.answer });
  if (!at) return;
  const run = await at.host.client.start("demo/probe", { do: "until-cancelled" }, { id: "going" });
  const page = await at.open("#/runs/going");
  await page.locator(".stream", { hasText: "live" }).waitFor();
  await noteStates(page);
  out.begin((request) => request.url.startsWith("/api/"));
  await run.cancel();
  await page.locator(".attempt-state", { hasText: "cancelled" }).waitFor();
  await reaches(page, "cancelled");
  assert.deepEqual(await page.evaluate(() => [...globalThis.states]), ["running,running", "cancelled,cancelled"]);
});

test("how long a run was paused is right from the first look on", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  const run = await at.host.client.start("demo/probe", { do: "until-cancelled" }, { id: "held" });
  await run.pause();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const page = await at.open("#/nowhere");
  await page.evaluate(() => {
    globalThis.seen = new Set();
    const look = () => {
      for (const one of document.querySelectorAll(".attempt")) globalThis.seen.add([one.querySelector(".attempt-head .num").textContent, one.querySelector(".attempt-more")?.textContent ?? ""].join());
      requestAnimationFrame(look);
    };
    look();
  });
  await page.evaluate(() => (location.hash = "#/runs/held"));
  await page.locator(".attempt-more", { hasText: "paused" }).waitFor();
  const seen = (await page.evaluate(() => [...globalThis.seen])).filter((text) => text !== "…,");
  assert.ok(seen.length > 0);
  for (const text of seen) assert.match(text, /,.*paused ([3-9]\.\d|\d\d) s/);
});
