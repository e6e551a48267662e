// The streamtask SDK for JavaScript and TypeScript.

export { Cancelled, Failure, HostError } from './errors.js';
export { parse } from './schema.js';
export { task } from './task.js';
