// Parts of the host's API, made up, so that a test can have them say what it likes and when.

/** A stream of runs: a snapshot to each who comes, then whatever the test has it say. */
export class FakeRuns {
  /** Queries of the connections so far. @type {URLSearchParams[]} */
  asked = [];
  /** Newest first. @type {any[]} */
  runs = [];
  /** Whether it also answers what asks for a page of the list; else that goes to the real host. */
  hasPages = false;
  #open = new Set();

  /** For `openPage`: answers in place of the host. Returns whether it did. */
  answer = (request, response) => {
    const url = new URL(request.url, "http://page");
    if (url.pathname !== "/api/runs") return false;
    const { task, status, created_before, cursor, limit } = Object.fromEntries(url.searchParams);
    const fits = (run) => (!task || `${run.app}/${run.task}` === task) && (!status || run.status === status);
    if (request.headers.accept !== "application/x-ndjson") {
      if (!this.hasPages) return false;
      const isBelow = (run) => (!created_before || run.created_at < created_before) && (!cursor || run.created_at < cursor);
      const found = this.runs.filter((run) => fits(run) && isBelow(run));
      const runs = found.slice(0, Number(limit));
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ runs, next: runs.length < found.length ? runs.at(-1).created_at : null }));
      return true;
    }
    this.asked.push(url.searchParams);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    for (const run of this.runs.filter(fits).slice(0, Number(url.searchParams.get("limit")))) response.write(line("run.state", run));
    response.write(line("run.list-complete"));
    this.#open.add(response);
    response.on("close", () => this.#open.delete(response));
    return true;
  };

  get connections() {
    return this.#open.size;
  }

  say(type, data) {
    for (const response of this.#open) response.write(line(type, data));
  }

  /** The run is new, or is another now. */
  put(run) {
    this.runs = [run, ...this.runs.filter((one) => one.id !== run.id)].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    this.say("run.state", run);
  }

  remove(id) {
    this.runs = this.runs.filter((run) => run.id !== id);
    this.say("run.removed", { id });
  }

  /** Cuts all connections off, in the middle of a line. */
  cut() {
    for (const response of this.#open) {
      response.write('{"type":"run.st');
      setTimeout(() => response.destroy(), 20);
    }
  }
}

const line = (type, data) => `${JSON.stringify({ type, data })}\n`;

let made = 0;
/** A run as a list has it; each is a second younger than the one before. */
export function run(id, more) {
  made += 1;
  const created_at = new Date(Date.now() - 3_600_000 + made * 1000).toISOString();
  const rest = { version: "v", attempt: 1, started_at: null, finished_at: null, cancel_requested_at: null, not_before: null, priority: 0, waits_for: null, parent: null };
  return { id, app: "demo", task: "probe", status: "running", created_at, labels: {}, stream: `/stream/demo/probe/${id}`, ...rest, ...more };
}

/** A host that takes uploads: the real one's list says so, and what is put there is answered by `answer(bytes, app, task)`. */
export async function takeUploads(page, answer) {
  await page.route("**/api/tasks", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), uploads: true } });
  });
  await page.route(/\/api\/tasks\/[^/]+\/[^/]+$/, async (route, request) => {
    if (request.method() !== "PUT") return route.fallback();
    const [app, task] = new URL(request.url()).pathname.split("/").slice(-2);
    const { status, problem } = await answer(request.postDataBuffer(), app, task);
    if (!problem) return route.fulfill({ status, json: { app, task } });
    const type = `urn:streamtask:problem:${problem[0]}`;
    return route.fulfill({ status, contentType: "application/problem+json", body: JSON.stringify({ type, status, detail: problem[1] }) });
  });
}

/** A task whose author described it otherwise: `change(task)` gives what is different in the host's list. */
export async function changeTasks(page, change) {
  await page.route("**/api/tasks", async (route) => {
    const response = await route.fetch();
    const listed = await response.json();
    await route.fulfill({ response, json: { ...listed, tasks: listed.tasks.map((task) => ({ ...task, ...change(task) })) } });
  });
}
