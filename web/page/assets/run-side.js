// The side column of a run: result or error, input, parameters, children, files.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { bytes, runTime, shortId } from "./format.js";
import { jsonView } from "./json-tree.js";
import { isEnded, statusBadge } from "./status.js";

/** @param {AbortSignal} closed aborts all requests */
export function runSide(closed) {
  const outcome = h("div", { class: "outcome" });
  const input = h("section", { class: "panel", "aria-labelledby": "input-title" });
  const parameters = h("section", { class: "panel", hidden: true });
  const children = h("section", { class: "panel", hidden: true });
  const files = h("section", { class: "panel", hidden: true });
  let drawn = "";

  const show = (section, title, value, content) => {
    const look = JSON.stringify(value);
    if (section.look === look) return;
    section.look = look;
    section.hidden = content === null;
    fill(section, h("h2", null, title), content);
  };

  return {
    outcome,
    element: h("div", { class: "run-side-rest" }, input, parameters, children, files),
    update: (run) => {
      const look = JSON.stringify([run.status, run.final_value, run.error]);
      if (look === drawn) return;
      if (drawn === "") fill(input, h("h2", { id: "input-title" }, "Input"), jsonView(run.input, { label: "input" }));
      drawn = look;
      fill(outcome, run.error && errorPanel(run), isEnded(run) && (run.status === "completed" || run.final_value !== null) && resultPanel(run));
    },
    /** Reloads the parameters, children and files. */
    refresh: async (run) => {
      const ask = (request) => request.catch(() => null);
      const [given, tree, left] = await Promise.all([ask(api.parameters(run.id, closed)), ask(api.children(run.id, closed)), ask(api.files(run.id, closed))]);
      if (closed.aborted) return;
      const has = given && Object.keys(given).length > 0;
      show(parameters, "Parameters", given, has ? jsonView(given, { label: "parameters" }) : null);
      const kin = tree?.children.map(bare) ?? [];
      show(children, "Children", kin, kin.length > 0 ? [childList(tree.children), tree.truncated && h("p", { class: "muted" }, "Not all children are shown.")] : null);
      show(files, "Files", left, left?.files.length > 0 ? fileList(left.files) : null);
    },
  };
}

function resultPanel(run) {
  const title = run.status === "completed" ? "Result" : "Partial result";
  return h("section", { class: "panel" }, h("h2", null, title), jsonView(run.final_value, { label: "result" }));
}

function errorPanel(run) {
  const { kind, message, code, details, trace, retryable } = run.error;
  return h(
    "section",
    { class: "panel error-panel" },
    h("h2", null, "Error"),
    h("p", { class: "error-message" }, message),
    h("p", { class: "tags" }, h("span", { class: "tag" }, kind), code && h("span", { class: "tag" }, code), retryable && h("span", { class: "tag" }, "retryable")),
    details !== undefined && details !== null && jsonView(details, { label: "details" }),
    trace && h("details", { class: "fold" }, h("summary", null, "Call stack"), h("pre", { class: "trace", tabindex: "0" }, trace)),
  );
}

/** The part of a child that is shown. */
const bare = (child) => [child.id, child.status, child.finished_at, child.children.map(bare)];

function childList(children) {
  return h(
    "ul",
    { class: "children" },
    children.map((child) =>
      h(
        "li",
        null,
        h("a", { class: "child", href: `#/runs/${encodeURIComponent(child.id)}` }, statusBadge(child), h("span", { class: "child-task" }, `${child.app}/${child.task}`), h("span", { class: "mono muted", title: child.id }, shortId(child.id)), h("span", { class: "num muted" }, isEnded(child) ? runTime(child) : "")),
        child.children.length > 0 && childList(child.children),
      ),
    ),
  );
}

function fileList(files) {
  return h("ul", { class: "files" }, files.map((file) => h("li", null, h("a", { href: api.address(file.url), download: true }, file.path), h("span", { class: "num muted" }, bytes(file.size)))));
}
