// Hosts, servers and browsers for tests.

import { spawn } from 'node:child_process';
import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer, request as send } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Host } from '../streamtask.js';
import { CHROMIUM, find, launch } from './chromium.mjs';

const CLIENT = new URL('../streamtask.js', import.meta.url);
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const GUESTS = [
  ...(process.env.STREAMTASK_KIT ?? '').split(delimiter).filter(Boolean),
  join(ROOT, 'tests/guests/target/wasm32-wasip2/release'),
  join(ROOT, 'example-tasks/target/wasm32-wasip2/release'),
];
const BINARIES = [process.env.STREAMTASK_BIN, join(ROOT, 'target/release/streamtask'), join(ROOT, 'target/debug/streamtask')];

/** What a browser may take for one step on a machine that does much else. */
const PATIENCE_MS = 60_000;

/** What is to be undone, by test. @type {WeakMap<object, (() => unknown)[]>} */
const undone = new WeakMap();

/** Undoes it after the test, before all that was begun earlier: a page goes before the host that it asks. */
export function afterwards(t, undo) {
  const steps = undone.get(t) ?? [];
  if (!undone.has(t)) {
    undone.set(t, steps);
    t.after(async () => {
      const faults = [];
      while (steps.length > 0) {
        try {
          await steps.pop()();
        } catch (fault) {
          faults.push(fault);
        }
      }
      if (faults.length > 0) throw faults[0];
    });
  }
  steps.push(undo);
}

/** Skips the test that lacks something, but never in CI. */
async function lacks(t, what) {
  const line = `${t.name}: it needs ${what}`;
  if (['true', '1'].includes(process.env.CI)) throw new Error(`CI is set, so nothing may be left out: ${line}`);
  if (process.env.STREAMTASK_SKIPPED) await appendFile(process.env.STREAMTASK_SKIPPED, `${line}\n`);
  t.skip(`it needs ${what}`);
}

/** @type {Promise<string> | undefined} the folder of what hosts have compiled, for all of them: to compile a guest takes longer than most tests */
let compiled;

function compiledFolder() {
  // For several files, that of whoever runs them.
  if (process.env.STREAMTASK_COMPILED) return process.env.STREAMTASK_COMPILED;
  compiled ??= mkdtemp(join(tmpdir(), 'streamtask-compiled-'));
  return compiled;
}

after(async () => compiled && rm(await compiled, { recursive: true, force: true }));

/** The path of the program; undefined if the test was skipped. */
export async function findHost(t) {
  const binary = await find(BINARIES);
  if (!binary) await lacks(t, 'the host, whose path is in STREAMTASK_BIN');
  return binary;
}

/** A host with these guests as tasks of the app `demo`, `guest:name` under another name; undefined if the test was skipped. */
export async function startHost(t, guests, flags = []) {
  const binary = await findHost(t);
  if (!binary) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'streamtask-client-'));
  await mkdir(join(folder, 'tasks/demo'), { recursive: true });
  await mkdir(join(folder, 'data'));
  await symlink(await compiledFolder(), join(folder, 'data/cache'));
  const names = guests.map((guest) => guest.split(':').at(-1));
  for (const [nth, guest] of guests.entries()) {
    const file = `${guest.split(':')[0]}.wasm`;
    const path = await find(GUESTS.map((kit) => join(kit, file)));
    if (!path) return void (await lacks(t, `${file} in a folder of STREAMTASK_KIT`));
    await copyFile(path, join(folder, 'tasks/demo', `${names[nth]}.wasm`));
  }
  const host = new TestHost(binary, folder, flags);
  afterwards(t, async () => {
    await host.kill();
    await rm(folder, { recursive: true, force: true });
  });
  await host.start();
  for (const name of names) {
    while ((await host.client.task(`demo/${name}`).catch(() => ({}))).version === undefined) await tick();
  }
  return host;
}

class TestHost {
  port = 0;

  constructor(binary, folder, flags) {
    this.binary = binary;
    this.folder = folder;
    this.flags = flags;
  }

  /** Again on the same port and data. */
  async start() {
    const at = (path) => join(this.folder, path);
    const fixed = ['serve', '--tasks', at('tasks'), '--data', at('data'), '--durability', 'normal', '--log-format', 'json'];
    const env = { ...process.env, STREAMTASK_CONFIG: undefined };
    this.process = spawn(this.binary, [...fixed, '--listen', `127.0.0.1:${this.port}`, ...this.flags], {
      cwd: this.folder,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    const port = new Promise((resolve, reject) => {
      this.process.stderr.on('data', (bytes) => {
        said += bytes;
        const found = /127\.0\.0\.1:(\d+)/.exec(said);
        if (found) resolve(Number(found[1]));
      });
      this.process.once('exit', () => reject(new Error(`the host ended: ${said}`)));
    });
    this.port = await port;
    this.client = new Host(`http://127.0.0.1:${this.port}`);
  }

  /** As `kill -9` does. */
  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await exited;
  }
}

/** A server whose answer to each request is up to `answer(request, response, nth)`. */
export async function serve(t, answer) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response, requests.length);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

/** What a host is to a page of another origin, with the client as it is here; over a line of so many bytes a millisecond. */
export async function serveFront(t, host, speed = Infinity) {
  return serve(t, async (request, response) => {
    if (request.url === '/streamtask.js') {
      response.writeHead(200, { 'content-type': 'text/javascript', 'access-control-allow-origin': '*' });
      return void response.end(await readFile(CLIENT));
    }
    const { method, url, headers } = request;
    // Compressed, it would be as quick as ever.
    if (speed < Infinity) delete headers['accept-encoding'];
    const onward = send({ port: host.port, host: '127.0.0.1', method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      if (speed < Infinity) trickle(answer, response, speed);
      else answer.pipe(response);
    });
    response.on('close', () => onward.destroy());
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
}

/** @type {ReturnType<typeof launch> | undefined} one for all tests of a file: to start it takes longer than most of them */
let shared;
after(async () => (await shared)?.close());

/** Cuts anywhere, also within characters. */
async function trickle(answer, response, speed) {
  const piece = Math.ceil(speed * 10);
  try {
    for await (const bytes of answer) {
      for (let at = 0; at < bytes.length; at += piece) {
        response.write(bytes.subarray(at, at + piece));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    response.end();
  } catch {
    response.destroy();
  }
}

/** A browser, where each page is alone with its cookies and its cache; undefined if the test was skipped. */
export async function startBrowser(t) {
  shared ??= launch();
  const browser = await shared;
  if (!browser) return void (await lacks(t, CHROMIUM));
  return {
    newContext: (options) => browser.newContext(options),
    newPage: async (options) => {
      const context = await browser.newContext(options);
      afterwards(t, async () => {
        // What is answered by a test is answered no more.
        for (const page of context.pages()) await page.unrouteAll({ behavior: 'ignoreErrors' });
        await context.close();
      });
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE_MS);
      return page;
    },
  };
}

/** A server of pages by path, and of the client as /streamtask.js. */
export async function servePages(t, pages) {
  return serve(t, async (request, response) => {
    const { pathname } = new URL(request.url, 'http://page');
    const isClient = pathname === '/streamtask.js';
    const body = isClient ? await readFile(CLIENT) : pages[pathname];
    response.writeHead(body === undefined ? 404 : 200, {
      'content-type': isClient ? 'text/javascript' : 'text/html; charset=utf-8',
      // No inline script and no style: what a strict page allows is enough for the client.
      'content-security-policy': "default-src 'self'; connect-src *; img-src * data:; script-src 'self' 'nonce-test'; style-src 'self' 'nonce-test'",
    });
    response.end(body);
  });
}

/** Lets others run. */
const tick = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Events as the host sends them. */
export function frame(seq, type, data, more) {
  const event = { type, data, timestamp: '2025-01-15T12:34:56.789Z', seq, ...more, attempt: 1, _task_id: 'r', _app: 'a', _model: 't' };
  return `id: ${seq}\nevent: ${type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** A notice, which has no number. */
export function notice(position, type, data) {
  return `id: ${position}\nevent: ${type}\ndata: ${JSON.stringify({ type, data })}\n\n`;
}

export const PREAMBLE = 'retry: 20\n: open\n\n';

/** Answers with a stream that stays open. */
export function openStream(response, text = '') {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(PREAMBLE + text);
}

/** What a request says it has seen. */
export const positionOf = (request) => Number(request.headers['last-event-id'] ?? 0);

/** All that `events` gives until it ends. */
export async function all(events) {
  const list = [];
  for await (const event of events) list.push(event);
  return list;
}
