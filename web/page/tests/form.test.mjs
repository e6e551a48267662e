// The form that starts a run, for schemas that no task of the tests has; and words that are longer than a screen is wide.

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually, openPage } from "./browser.mjs";
import { changeTasks } from "./fakes.mjs";

/** The page of demo/probe as if its schema were this one, and the inputs that it has sent; the host takes them all. */
async function openForm(t, schema, { width = 1280, from } = {}) {
  const at = await openPage(t, ["probe"]);
  if (!at) return undefined;
  const sent = [];
  const page = await at.open("#/nothing", { width, height: 844 });
  await changeTasks(page, () => ({ input_schema: schema }));
  await page.route("**/api/tasks/demo/probe/runs*", (route, request) => {
    sent.push(request.postDataJSON());
    const problem = { type: "urn:streamtask:problem:invalid-input", status: 400, detail: "refused", errors: [] };
    return route.fulfill({ status: 400, contentType: "application/problem+json", body: JSON.stringify(problem) });
  });
  if (from) await at.host.client.start("demo/probe", { do: "echo", ...from }, { id: "earlier" });
  await page.goto(`${at.url}/#/tasks/demo/probe${from ? "?from=earlier" : ""}`);
  await page.locator(".start-input > .fields").waitFor();
  const start = () => page.getByRole("button", { name: "Start", exact: true }).click();
  return { page, sent, start };
}

const problems = (page) => page.$$eval(".start .field-problem:not([hidden])", (list) => list.map((one) => [one.closest(".field").querySelector("label").textContent, one.textContent]));

test("what is required and was left empty is told at its field, and nothing is sent", async (t) => {
  const at = await openForm(t, {
    type: "object",
    required: ["name", "count", "how", "inner", "raw", "maybe"],
    properties: {
      name: { type: "string" },
      count: { type: "integer" },
      how: { enum: ["a", "b"] },
      inner: { type: "object", required: ["deep"], properties: { deep: { type: "string" } } },
      raw: {},
      maybe: { type: ["string", "null"] },
      other: { type: "object", required: ["never"], properties: { never: { type: "string" } } },
      free: { type: "string" },
    },
  });
  if (!at) return;
  const { page, sent, start } = at;
  await start();
  const text = "This field is required";
  assert.deepEqual(await problems(page), [["name *", text], ["count *", text], ["how *", text], ["deep *", text], ["raw *", text]]);
  assert.equal(await page.evaluate(() => document.activeElement.labels[0].textContent), "name *", "the first of them can be written at once");
  assert.equal(await page.getByLabel("name").getAttribute("aria-invalid"), "true");
  assert.deepEqual(sent, []);
  await page.getByLabel("name").fill("n");
  await page.getByLabel("count").fill("1");
  await page.getByLabel("how *").selectOption("b");
  await page.getByLabel("deep").fill("d");
  await page.getByLabel("raw").fill("[]");
  await start();
  await eventually(() => sent.length === 1);
  assert.deepEqual(sent, [{ name: "n", count: 1, how: "b", inner: { deep: "d" }, raw: [], maybe: null }]);
  assert.deepEqual(await problems(page), []);
});

test("an input that lacks something can be looked at as JSON, and is without it there", async (t) => {
  const at = await openForm(t, { type: "object", required: ["name"], properties: { name: { type: "string" } } });
  if (!at) return;
  await at.page.getByText("JSON", { exact: true }).click();
  assert.deepEqual(JSON.parse(await at.page.getByLabel("Input as JSON").inputValue()), {});
  // The host says what is missing; what it would say is not known here.
  await at.start();
  await eventually(() => at.sent.length === 1);
  assert.deepEqual(at.sent, [{}]);
});

test("an empty text is sent where it was given, and no more once it was changed", async (t) => {
  const schema = { type: "object", required: ["kept", "changed"], properties: { kept: { type: "string" }, changed: { type: "string" }, list: { type: "array", items: { type: "string" } }, usual: { type: "string", default: "" } } };
  const at = await openForm(t, schema, { from: { kept: "", changed: "", list: ["", "b"], usual: "" } });
  if (!at) return;
  await at.start();
  await eventually(() => at.sent.length === 1);
  assert.deepEqual(at.sent, [{ do: "echo", kept: "", changed: "", list: ["", "b"], usual: "" }]);
  await at.page.getByLabel("changed").fill("x");
  await at.page.getByLabel("changed").fill("");
  await at.start();
  await at.page.getByText("This field is required").waitFor();
  assert.deepEqual(await problems(at.page), [["changed *", "This field is required"]]);
  assert.equal(at.sent.length, 1);
});

test("names, texts and messages of any length fit a phone", async (t) => {
  const long = (name) => `${name}_${"which_is_one_word_".repeat(8)}`;
  const text = { type: "string", description: long("description") };
  const properties = {
    [long("text")]: text,
    [long("number")]: { type: "integer", minimum: 10 ** 15, maximum: 10 ** 15 + 1 },
    [long("flag")]: { type: "boolean", description: long("flag") },
    [long("choice")]: { oneOf: [{ const: long("one"), description: long("one") }, { const: "two" }] },
    [long("list")]: { type: "array", items: { type: "string" }, default: ["a"], description: long("list") },
    [long("object")]: { type: "object", description: long("object"), required: [long("inner")], properties: { [long("inner")]: text, [long("deep")]: { type: "object", properties: { [long("deepest")]: text } } } },
    [long("raw")]: {},
  };
  for (const width of [390, 320]) {
    await t.test(`${width} pixels wide`, async (t) => {
      const at = await openForm(t, { type: "object", required: Object.keys(properties), properties }, { width });
      if (!at) return;
      const { page, start } = at;
      const isWider = () =>
        page.evaluate(() => {
          const box = document.querySelector(".start-panel").getBoundingClientRect();
          const wide = [...document.querySelectorAll(".start *")].filter((one) => one.getBoundingClientRect().right > box.right + 0.5);
          return { page: document.documentElement.scrollWidth > innerWidth, wide: wide.map((one) => one.className || one.tagName) };
        });
      const fits = { page: false, wide: [] };
      assert.deepEqual(await isWider(), fits);
      // With messages, too: of this page, and of the host about a place that has no field.
      await start();
      await page.locator(".field-problem:not([hidden])").first().waitFor();
      assert.deepEqual(await isWider(), fits);
      await page.getByText("Input schema").click();
      await page.locator(".json-key").first().waitFor();
      assert.deepEqual(await isWider(), fits);
      if (process.env.STREAMTASK_SCREENSHOTS) await page.screenshot({ path: `${process.env.STREAMTASK_SCREENSHOTS}/form-${width}.png`, fullPage: true });
    });
  }
});

test("words that are longer than a phone is wide stay within their place in every view", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  const { client } = at.host;
  const long = (name, length = 150) => `${name}_${"which_is_one_word_".repeat(20)}`.slice(0, length);
  const data = (value) => JSON.stringify(value);
  const events = [
    { type: long("type", 100), data: data({ [long("key")]: long("value") }) },
    { type: "log", data: data({ level: "error", message: long("message", 300) }) },
    { type: "progress", data: data({ id: long("item", 100), done: 1, total: 3, message: long("doing") }) },
    { type: "progress", data: data({ id: long("part", 100), parent: long("item", 100), status: "running" }) },
    { type: "view", data: data({ op: "text", target: long("target", 60), text: long("text", 300) }) },
    { type: "view", data: data({ op: "html", target: "html", html: `<table><tr><td>${long("cell")}</td><td>${long("cell")}</td></tr></table><pre>${long("pre", 300)}</pre>` }) },
    { type: "view", data: data({ op: "state", state: { [long("state")]: long("value") } }) },
  ];
  const id = long("id", 64);
  const labels = { [long("label", 60)]: long("value", 60) };
  const run = await client.start("demo/probe", { do: "send", events, [long("input")]: long("value") }, { id, labels });
  await run.result();
  const failing = await client.start("demo/probe", { do: "fail", message: long("error", 300) }, { id: long("failing", 64), labels });
  await failing.result().catch(() => {});
  const going = await client.start("demo/probe", { do: "until-cancelled" }, { id: long("going", 64), resources: [long("resource", 60)] });
  await going.setParameter(long("parameter", 60), long("value"));
  const page = await at.open("#/nowhere", { width: 390, height: 844 });
  await changeTasks(page, () => ({ description: long("description", 300), problem: { message: long("problem", 300), at: new Date().toISOString() }, schedules: [{ name: long("name", 60), cron: "* * * * *", time_zone: "UTC", next: null }] }));
  const fits = async (where) => {
    const wide = await page.evaluate(() => (document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.className || one.tagName) : []));
    assert.deepEqual(wide, [], where);
  };
  for (const [path, shown] of Object.entries({ "": ".runs tbody tr", "#/tasks": ".task-item", "#/tasks/demo/probe": ".start", [`#/runs/${failing.id}`]: ".error-panel", [`#/runs/${going.id}`]: ".list-row", [`#/runs/${id}`]: ".list-row, .drawn" })) {
    await page.goto(`${at.url}/${path}`);
    await page.locator(shown).first().waitFor();
    await fits(path);
    if (process.env.STREAMTASK_SCREENSHOTS) await page.screenshot({ path: `${process.env.STREAMTASK_SCREENSHOTS}/${path.replaceAll(/\W+/g, "-").slice(0, 20)}.png`, fullPage: true });
  }
  for (const tab of ["Output", "Log", "Events"]) {
    await page.getByRole("tab", { name: tab }).click();
    if (tab !== "Output") await page.locator(".list-row:visible").nth(tab === "Log" ? 0 : 1).click();
    await fits(tab);
    if (tab === "Output") assert.ok(await page.locator(".output").evaluate((output) => output.scrollWidth <= output.clientWidth), "what a run draws is not scrolled sideways");
    if (process.env.STREAMTASK_SCREENSHOTS) await page.screenshot({ path: `${process.env.STREAMTASK_SCREENSHOTS}/tab-${tab}.png`, fullPage: true });
  }
  await page.getByRole("button", { name: "Delete" }).click();
  await fits("the dialog");
});
