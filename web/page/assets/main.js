// The page: shows the view for the address, and the header around all views.

import { connection } from "./api.js";
import { fill, h, setAttribute, setText } from "./dom.js";
import { homeView } from "./home.js";
import { runView } from "./run.js";
import { taskView } from "./task.js";
import { tasksView } from "./tasks.js";
import { themeButton } from "./theme.js";
import { takeDrops } from "./uploads.js";

const main = document.getElementById("main");
let current = null;

/** A view is `{ title, element, close }`; `close` stops its timers and requests. */
function viewFor(path, query) {
  const parts = path.split("/").filter(Boolean).map(decode);
  if (parts.length === 0) return homeView({ query, setQuery });
  if (parts[0] === "tasks" && parts.length === 1) return tasksView();
  if (parts[0] === "tasks" && parts.length === 3) return taskView({ app: parts[1], task: parts[2], query });
  if (parts[0] === "runs" && parts.length === 2) return runView(parts[1]);
  return { title: "Not found", element: h("div", { class: "empty" }, h("h1", null, "Page not found"), h("a", { href: "#/" }, "All runs")), close: () => {} };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Stores a view's filters in the address, without a new history entry. */
function setQuery(query) {
  const text = String(query);
  history.replaceState(null, "", `#/${text && `?${text}`}`);
}

function show() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const isFirst = current === null;
  current?.close();
  current = viewFor(path, new URLSearchParams(query));
  document.title = current.title ? `${current.title} – streamtask` : "streamtask";
  fill(main, current.element);
  for (const link of document.querySelectorAll(".bar nav a")) {
    const isHere = link.getAttribute("href") === "#/tasks" ? path.startsWith("/tasks") : !path.startsWith("/tasks");
    setAttribute(link, "aria-current", isHere ? "page" : null);
  }
  if (isFirst) return;
  // Keyboards and screen readers start at the top of the new view.
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function showConnection() {
  const sign = document.getElementById("host");
  sign.classList.toggle("is-lost", !connection.reachable);
  setText(sign, connection.reachable ? "" : "The host is not responding. Retrying…");
}

// The link's target, #main, is not the address of a view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
themeButton(document.getElementById("theme"));
takeDrops();
connection.addEventListener("change", showConnection);
addEventListener("hashchange", show);
showConnection();
show();
