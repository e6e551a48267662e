// Takes the pictures of the page that the README and the book show: a demo's host, with Chromium before it.
//
//   STREAMTASK_BIN=target/demo/streamtask node web/page/screenshots.mjs [FOLDER, or else docs/pictures]

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Host } from "../client/streamtask.js";
import { CHROMIUM, launch } from "../client/tests/chromium.mjs";

/** Where the book has its pictures. */
export const PICTURES = fileURLToPath(new URL("../../docs/pictures/", import.meta.url));
/** The width of each picture, in pixels. */
export const WIDTH = 1440;
/** Of WebP, which Chromium writes itself: below this, small text has visible edges. */
const QUALITY = 90;
/** What one step may take on a busy machine, in milliseconds. */
const PATIENCE_MS = 60_000;
/** Between two looks at a run, in milliseconds. */
const LOOK_MS = 50;

/**
 * The pictures, in the order in which they are taken: the address in the page, the height in pixels, what `before` waits
 * for on the host, and what the page `shows` then.
 */
const SCENES = [
  { name: "page-task", path: "#/tasks/demo/counter", height: 460, shows: "text=Pause in milliseconds" },
  {
    name: "page-progress",
    path: "#/runs/release-42",
    height: 620,
    before: (host) => until(async () => (await host.request("GET", "/api/runs/release-42/progress")).fraction >= 0.4),
    shows: "text=Publish",
  },
  {
    name: "page-output",
    path: "#/runs/answer-7",
    height: 480,
    before: (host) => until(async () => (await host.run("answer-7").info()).status === "completed"),
    shows: "text=which write into the page as they arrive",
  },
  { name: "page-runs", path: "", height: 440, shows: "text=release-42" },
];

/** Starts the runs that the pictures show, in several states. */
async function startRuns(host) {
  await host.start("demo/hello", { name: "Ada" }, { id: "hello-ada", labels: { team: "blue" } });
  const stopped = await host.start("demo/counter", { steps: 900, pause_ms: 900 }, { id: "stopped-early" });
  await host.start("demo/counter", { steps: 10, pause_ms: 20 }, { id: "count-to-ten" });
  const paused = await host.start("demo/counter", { steps: 600, pause_ms: 700 }, { id: "nightly-count", labels: { team: "blue" } });
  await host.start("demo/chat", {}, { id: "answer-7", labels: { user: "ada" } });
  await host.start("demo/progress-tree", {}, { id: "release-42", labels: { branch: "main" } });
  await stopped.cancel();
  await paused.pause();
}

/** Takes all pictures into a folder; returns their paths. */
export async function takeAll({ binary, browser, folder }) {
  const demo = await startDemo(binary);
  try {
    const host = new Host(demo.url);
    await startRuns(host);
    const paths = [];
    for (const scene of SCENES) {
      await scene.before?.(host);
      const path = join(folder, `${scene.name}.webp`);
      await writeFile(path, await take(browser, demo.url, scene));
      paths.push(path);
    }
    return paths;
  } finally {
    await demo.stop();
  }
}

async function take(browser, url, { path, height, shows }) {
  const viewport = { width: WIDTH, height };
  const context = await browser.newContext({ viewport, colorScheme: "light", reducedMotion: "reduce", deviceScaleFactor: 1 });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(`${url}/${path}`);
    await page.locator(shows).first().waitFor();
    const devtools = await context.newCDPSession(page);
    const { data } = await devtools.send("Page.captureScreenshot", { format: "webp", quality: QUALITY });
    return Buffer.from(data, "base64");
  } finally {
    await context.close();
  }
}

/** Starts `streamtask demo` on a free port, with a temporary folder of its own. */
async function startDemo(binary) {
  const folder = await mkdtemp(join(tmpdir(), "streamtask-pictures-"));
  const env = { ...process.env, TMPDIR: folder };
  const demo = spawn(binary, ["demo", "--listen", "127.0.0.1:0"], { env, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => demo.once("close", resolve));
  const stop = async () => {
    demo.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  let said = "";
  const url = new Promise((resolve, reject) => {
    demo.once("error", reject);
    demo.once("exit", () => reject(new Error(`the demo ended: ${said}`)));
    createInterface({ input: demo.stderr }).on("line", (line) => {
      said += `${line}\n`;
      const found = /is on (http:\/\/[^/\s]+)/.exec(line);
      if (found) resolve(found[1]);
    });
  });
  try {
    return { url: await url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits until it is so. */
async function until(look) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await look())) {
    if (Date.now() > end) throw new Error("a run does not come to what the picture shows");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const binary = process.env.STREAMTASK_BIN;
  const browser = await launch();
  if (!binary || !browser) {
    console.error(`screenshots need ${binary ? CHROMIUM : "the host, whose path is in STREAMTASK_BIN"}`);
    process.exit(1);
  }
  try {
    for (const path of await takeAll({ binary, browser, folder: process.argv[2] ?? PICTURES })) console.log(path);
  } finally {
    await browser.close();
  }
}
