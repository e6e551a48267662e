// The page for those who don't use a mouse, don't see it, or hold it in one hand.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";

import { openPage, reaches, until } from "./browser.mjs";
import { takeUploads } from "./fakes.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds; all findings count but those it calls minor. */
async function findings(page) {
  // By the debugger, which a Content-Security-Policy does not bind; once for all views, which are of one document.
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => impact !== "minor")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} (${node.failureSummary})`).join(" | ")}`);
}

async function withRuns(t) {
  const at = await openPage(t, ["counter", "probe"]);
  if (!at) return undefined;
  const { client } = at.host;
  const progress = [
    { type: "progress", data: '{"id":"a","done":1,"total":2,"message":"half"}' },
    { type: "progress", data: '{"id":"b","parent":"a","status":"failed"}' },
    { type: "progress", data: '{"id":"c","parent":"a","status":"waiting"}' },
    { type: "progress", data: '{"id":"d","status":"skipped"}' },
    // So many that the list of them is scrolled.
    ...Array.from({ length: 13 }, (_, nth) => ({ type: "progress", data: `{"id":"part ${nth}","parent":"d"}` })),
    { type: "log", data: '{"level":"error","message":"bad"}' },
    { type: "view", data: '{"op":"html","target":"out","html":"<p>Hello</p>"}' },
    { type: "view", data: '{"op":"state","state":{"n":[1,2]}}' },
  ];
  await client.start("demo/probe", { do: "send", events: progress }, { id: "sent" });
  await client.start("demo/probe", { do: "fail" }, { id: "failing", labels: { project: "alpha" } });
  await client.start("demo/probe", { do: "until-cancelled" }, { id: "going" });
  return at;
}

const VIEWS = {
  "": ".runs tbody tr",
  "#/tasks": ".task-item",
  "#/tasks/demo/counter": ".start",
  "#/tasks/demo/probe": ".start",
  "#/runs/sent": ".drawn-content p",
  "#/runs/failing": ".error-panel",
  "#/runs/going": ".list-row",
  "#/runs/nothing": ".empty h1",
};

/** What is on a view besides what is there at once, by name: what shows it. */
const MORE = {
  "": {
    "the dialog of a file": (page) => page.locator("input[type=file]").setInputFiles({ name: "a.wasm", mimeType: "application/wasm", buffer: Buffer.from("x") }),
  },
  "#/tasks/demo/probe": {
    "the question before a task is removed": async (page) => {
      await page.getByRole("button", { name: "Remove" }).click();
      await page.getByRole("dialog", { name: "Remove demo/probe?" }).waitFor();
    },
  },
  "#/runs/sent": Object.fromEntries(
    ["Events", "Log"].map((tab) => [
      tab,
      async (page) => {
        await page.getByRole("tab", { name: tab }).click();
        await page.locator(".list-row:visible").first().click();
      },
    ]),
  ),
  "#/runs/going": {
    "the dialog of a signal": (page) => page.getByRole("group", { name: "Actions" }).getByRole("button", { name: "Signal" }).click(),
  },
};

test("axe finds nothing serious", async (t) => {
  const at = await withRuns(t);
  if (!at) return;
  for (const theme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      await t.test(`${theme}, ${width} pixels wide`, async () => {
        const page = await at.open("#/nothing", { theme, width, height: 844, reducedMotion: "reduce" });
        await takeUploads(page, () => ({ status: 201 }));
        for (const [path, shown] of Object.entries(VIEWS)) {
          await page.goto(`${at.url}/${path}`);
          await page.locator(shown).first().waitFor();
          assert.deepEqual(await findings(page), [], path);
          if (path === "#/runs/sent") assert.ok(await page.locator(".items").evaluate((list) => list.scrollHeight > list.clientHeight), "the parts are scrolled");
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} is not wider than the screen`);
          for (const [name, show] of Object.entries(MORE[path] ?? {})) {
            await show(page);
            assert.deepEqual(await findings(page), [], `${path} ${name}`);
            await page.keyboard.press("Escape");
          }
        }
        await page.close();
      });
    }
  }
});

test("all can be done by keys alone: start, read events, cancel", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  const page = await at.open();
  await page.locator(".task-item").first().waitFor();
  const focused = () => page.evaluate(() => `${document.activeElement.tagName} ${document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent}`);
  const tabTo = async (wanted) => {
    for (let nth = 0; nth < 60; nth += 1) {
      await page.keyboard.press("Tab");
      if (wanted.test(await focused())) return;
    }
    assert.fail(`${wanted} can't be reached`);
  };
  await page.keyboard.press("Tab");
  assert.match(await focused(), /Skip to content/);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await tabTo(/^A .*probe/);
  await page.keyboard.press("Enter");
  await page.locator(".start").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "main", "a new page begins at its beginning");
  await tabTo(/^INPUT/);
  // From the choice between form and JSON to the first field.
  await page.keyboard.press("Tab");
  await page.keyboard.type("until-cancelled");
  await page.keyboard.press("Control+Enter");
  await reaches(page, "running");
  await until(page, () => document.querySelectorAll(".list-row").length > 0);
  await tabTo(/^BUTTON Events/);
  await page.keyboard.press("ArrowRight");
  assert.match(await focused(), /^BUTTON Log/);
  await page.keyboard.press("ArrowLeft");
  await tabTo(/^DIV Events/);
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.locator(".event-detail:visible").getByText("run.started").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".event-detail").first().waitFor({ state: "hidden" });
  assert.match(await focused(), /^DIV Events/);
  await page.evaluate(() => document.getElementById("main").focus());
  await tabTo(/^BUTTON Cancel/);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.match(await focused(), /^BUTTON Cancel/, "the dialog gives the focus back");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await reaches(page, "cancelled");
});

test("the theme is chosen, and kept over a reload", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("", { theme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.locator("#theme").click();
  await page.locator("#theme").click();
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await ground(), dark);
});
