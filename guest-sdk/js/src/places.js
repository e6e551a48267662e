// Finds the place in the author's source where an error was thrown. The build bundles all modules into one, and
// leaves a map of its lines here. The map is only read when an error is thrown.

import { decode } from './mappings.js';

/** The name of the global in which the build stores `{ file, sources, mappings }`. */
const MAP = Symbol.for('streamtask.source-map');

/** In an endless recursion, the innermost frames are enough. */
const MOST_FRAMES = 50;

/** Matches a function's name, to which the engine adds how it was called and where it is defined. */
const FRAME = /^(?:.*\*)?(.*)@(.*):(\d+):(\d+)$/;

/**
 * The frames of a stack outside of the SDK, innermost first; undefined without a map, as in
 * Node.js and with other bundlers.
 */
export function frames(stack, map = globalThis[MAP]) {
  if (map === undefined || typeof stack !== 'string') return undefined;
  map.lines ??= decode(map.mappings);
  return stack.split('\n').map((line) => frame(line, map)).filter((found) => found !== undefined);
}

/** `in deep at task.ts:12`: the innermost frame in the author's source, or else in a package. */
export function place(stack, map) {
  const all = frames(stack, map) ?? [];
  const found = all.find(({ source }) => !source.includes('node_modules/')) ?? all[0];
  return found && `${found.name ? `in ${found.name} ` : ''}at ${found.source}:${found.line}`;
}

/** The stack for the log; without a map, the engine's own stack. */
export function readable(stack, map) {
  const all = frames(stack, map);
  if (all === undefined) return stack;
  const lines = all.slice(0, MOST_FRAMES).map(({ name, source, line }) => {
    const where = `${source}:${line}`;
    return `    at ${name ? `${name} (${where})` : where}`;
  });
  if (all.length > MOST_FRAMES) lines.push(`    and ${all.length - MOST_FRAMES} more`);
  return lines.join('\n');
}

function frame(text, { file, sources, lines }) {
  const [, called, where, line, column] = FRAME.exec(text) ?? [];
  if (where !== file) return undefined;
  const mapped = lines[line - 1]?.findLast((segment) => segment.column < column);
  if (mapped?.source === undefined) return undefined;
  // `outer/inner` is defined in `outer`, and `outer/<` has no name.
  const name = called.split('/').at(-1);
  return { name: name.endsWith('<') ? '' : name, source: sources[mapped.source], line: mapped.line + 1 };
}
