// The tasks as a list with a search, grouped by app.

import { fill, h, icon } from "./dom.js";
import { shortVersion } from "./format.js";
import { addTaskButton } from "./uploads.js";

/** The search field is shown from this many tasks on. */
const SEARCH_FROM = 8;

/** @param {{ compact?: boolean }} options compact: for the side column of another page */
export function taskPanel({ compact = false } = {}) {
  const search = h("input", { type: "search", placeholder: "Search tasks", "aria-label": "Search tasks", hidden: true, spellcheck: "false", on: { input: () => draw() } });
  const list = h("div", { class: "task-groups" }, h("p", { class: "empty" }, "Loading…"));
  const add = addTaskButton();
  const title = h(compact ? "h2" : "h1", null, "Tasks");
  let listed = null;

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = listed.tasks.filter((task) => {
      const text = `${task.app ?? ""}/${task.task ?? ""} ${task.path} ${task.description ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    search.hidden = listed.tasks.length < SEARCH_FROM && words.length === 0;
    const apps = new Map();
    for (const task of found) {
      const app = task.app ?? "not a task";
      if (!apps.has(app)) apps.set(app, []);
      apps.get(app).push(task);
    }
    const groups = [...apps].map(([app, tasks]) => h("section", { class: "task-group" }, h(compact ? "h3" : "h2", null, app), h("ul", null, tasks.map((task) => taskItem(task)))));
    const loading = listed.complete ? null : h("p", { class: "muted loading" }, "The host is still loading files…");
    const none = words.length > 0 ? "No tasks match." : listed.uploads === true ? "No tasks yet. Drop a .wasm file here to add one." : "No tasks yet. Copy a .wasm file to the host’s tasks folder.";
    fill(list, loading, groups.length > 0 ? groups : h("p", { class: "empty" }, none));
  }

  return {
    element: h("div", { class: compact ? "task-panel compact" : "task-panel" }, h("div", { class: "head" }, title, add.element), search, list),
    update: (next) => {
      listed = next;
      add.update(next);
      draw();
    },
  };
}

function taskItem(task) {
  const name = task.task ?? task.path;
  const isServed = task.version !== null;
  const text = [
    h("span", { class: "task-name" }, name),
    task.description && h("span", { class: "task-description" }, task.description),
    task.problem && h("span", { class: "task-problem" }, icon("alert"), isServed ? "The current file can’t be loaded; new runs use the last version that could" : task.problem.message),
  ];
  const aside = h("span", { class: "task-aside mono", title: task.version ? `version ${task.version}` : null }, isServed ? shortVersion(task.version) : "not loaded");
  const circuit = task.circuit && task.circuit.state !== "closed" && h("span", { class: "tag tag-warn" }, `circuit breaker ${task.circuit.state}`);
  if (!task.app || !task.task) return h("li", null, h("div", { class: "task-item" }, text, aside));
  const href = `#/tasks/${encodeURIComponent(task.app)}/${encodeURIComponent(task.task)}`;
  return h("li", null, h("a", { class: "task-item", href }, text, aside, circuit));
}
