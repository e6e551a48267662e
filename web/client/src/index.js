// A client of a streamtask host, for browsers, Node.js 20, Deno and Bun.
//
// `npm run build` bundles it into one module, ../streamtask.js. The types are in ../streamtask.d.ts.
// From the bottom up: errors, pauses, frames, log; address; watchdog, line, follow, host; and for
// pages sanitize, markdown-parser, markdown-cut, markdown-build, markdown; queue, scrolling, selector, marks,
// progress, view, page.

export { HostError, RunError } from './errors.js';
export { follow, followBatches } from './follow.js';
export { Host, Run } from './host.js';
export { isEnd } from './log.js';
export { connect, connectAll } from './page.js';
export { retryNow } from './pauses.js';
export { Progress } from './progress.js';
export { sanitize } from './sanitize.js';
export { View, updatesOf } from './view.js';
