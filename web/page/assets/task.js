// A task's page: its description, its grants, and the form that starts a run.

import * as api from "./api.js";
import { button, fill, h, icon } from "./dom.js";
import { ago, bytes, duration, moment, shortVersion } from "./format.js";
import { jsonView } from "./json-tree.js";
import { startForm } from "./start-form.js";
import { watchTasks } from "./task-list.js";
import { removeTask } from "./uploads.js";

/** @param {{ app: string, task: string, query: URLSearchParams }} route `?from=RUN` fills the form with that run's input */
export function taskView({ app, task: name, query }) {
  const about = h("div", { class: "task-about" });
  const start = h("section", { class: "panel start-panel" });
  let task;
  const remove = button("Remove", { icon: "trash", class: "danger-quiet", hidden: true }, () => removeTask(task));
  const element = h(
    "div",
    { class: "task-view" },
    h("div", { class: "head" }, h("h1", null, h("span", { class: "muted" }, `${app}/`), name), h("a", { class: "head-link", href: `#/?task=${encodeURIComponent(`${app}/${name}`)}` }, "View runs"), remove),
    h("div", { class: "task-columns" }, start, about),
  );
  let drawnSchema;
  let earlier;
  const from = query.get("from");
  const earlierRun = from ? api.run(from).catch(() => null) : Promise.resolve(null);

  async function update(listed) {
    task = listed.tasks.find((one) => one.app === app && one.task === name);
    remove.hidden = !task || listed.uploads !== true;
    if (!task) {
      fill(about);
      fill(start, h("div", { class: "empty" }, listed.complete ? [h("p", null, "Task not found."), h("a", { href: "#/tasks" }, "All tasks")] : "Loading…"));
      drawnSchema = undefined;
      return;
    }
    fill(about, aboutTask(task));
    earlier = await earlierRun;
    // Keep the user's input unless the schema has changed.
    const schema = JSON.stringify([task.input_schema, task.version !== null]);
    if (schema === drawnSchema) return;
    drawnSchema = schema;
    if (task.version === null) fill(start, h("p", { class: "empty" }, "No version of this file could be loaded, so the task can’t be started."));
    else fill(start, startForm(task, { input: earlier?.input, labels: earlier?.labels, started: (id) => (location.hash = `#/runs/${encodeURIComponent(id)}`) }));
  }

  return { title: `${app}/${name}`, element, close: watchTasks((listed) => update(listed).catch(console.error)) };
}

function aboutTask(task) {
  return [
    task.problem && problemBox(task),
    task.description && h("p", { class: "lead" }, task.description),
    h(
      "dl",
      { class: "facts" },
      fact("Version", h("code", { title: task.version }, shortVersion(task.version))),
      fact("File", h("code", null, task.path), task.size !== null && ` ${bytes(task.size)}`),
      task.loaded_at && fact("Loaded", h("time", { datetime: task.loaded_at, title: moment(task.loaded_at) }, ago(task.loaded_at))),
      task.circuit && fact("Circuit breaker", circuitText(task.circuit)),
    ),
    task.grants && grantsPanel(task.grants),
    task.schedules.length > 0 && schedulesPanel(task.schedules),
    task.input_schema && folded("Input schema", jsonView(task.input_schema, { label: "schema" })),
    task.output_schema && folded("Output schema", jsonView(task.output_schema, { label: "schema" })),
  ];
}

const fact = (name, ...value) => [h("dt", null, name), h("dd", null, value)];
const folded = (title, content) => h("details", { class: "panel fold" }, h("summary", null, title), content);

function problemBox(task) {
  const served = task.version === null ? "The task can’t be started." : `New runs use version ${shortVersion(task.version)}.`;
  return h(
    "div",
    { class: "problem", role: "note" },
    h("p", null, icon("alert"), h("strong", null, "The current file can’t be loaded. "), served),
    h("pre", null, task.problem.message),
    h("p", { class: "muted" }, ago(task.problem.at)),
  );
}

function circuitText(circuit) {
  return circuit.until ? `${circuit.state}, until ${moment(circuit.until)}` : circuit.state;
}

function grantsPanel(grants) {
  const lines = [
    ...grants.http.map((rule) => ["HTTP requests", httpText(rule)]),
    ...grants.folders.map((folder) => ["Folder", `${folder.mount}, ${folder.write ? "read and write" : "read only"}`]),
    ...grants.env.map((name) => ["Environment variable", name]),
    ...grants.secrets.map((name) => ["Secret", name]),
    ...grants.start.map((pattern) => ["May start", pattern]),
    ...(grants.output_files ? [["Output files", `up to ${bytes(grants.output_files.size)}, ${grants.output_files.count} files`]] : []),
  ];
  return h(
    "section",
    { class: "panel" },
    h("h2", null, "Grants"),
    lines.length === 0
      ? h("p", { class: "muted" }, "None beyond clocks, random numbers and the run’s own events.")
      : h("dl", { class: "facts" }, lines.map(([kind, text]) => fact(kind, h("code", null, text)))),
  );
}

function httpText(rule) {
  const methods = rule.methods.length > 0 ? rule.methods.join(", ") : "any method";
  const ports = rule.ports.length > 0 ? `:${rule.ports.join(",")}` : "";
  const private_ = rule.private ? ", also on private networks" : "";
  return `${methods} ${rule.schemes.join("|")}://${rule.host}${ports}${private_}, ${bytes(rule.max_response)}, ${duration(rule.timeout_ms)}`;
}

function schedulesPanel(schedules) {
  return h(
    "section",
    { class: "panel" },
    h("h2", null, "Schedules"),
    h(
      "dl",
      { class: "facts" },
      schedules.map((schedule) =>
        fact(schedule.name, h("code", null, schedule.cron), ` ${schedule.time_zone}`, schedule.next && h("span", { class: "muted" }, ` next ${ago(schedule.next)}, ${moment(schedule.next)}`)),
      ),
    ),
  );
}

