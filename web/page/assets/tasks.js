// The view of all tasks.

import { watchTasks } from "./task-list.js";
import { taskPanel } from "./task-panel.js";

export function tasksView() {
  const panel = taskPanel();
  return { title: "Tasks", element: panel.element, close: watchTasks((listed) => panel.update(listed)) };
}
