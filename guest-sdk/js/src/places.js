// Where in the author's own source something was thrown. The build bundles all modules into one and says here
// from which file and line each of its lines comes. Nothing is looked up before something is thrown.

import { decode } from './mappings.js';

/** Under this the build leaves `{ file, sources, mappings }`. */
const MAP = Symbol.for('streamtask.source-map');

/** Of an endless recursion the innermost say enough. */
const MOST_FRAMES = 50;

/** A function's name, of which the engine also says how it was called and where it stands. */
const FRAME = /^(?:.*\*)?(.*)@(.*):(\d+):(\d+)$/;

/**
 * The frames of a stack that are not the SDK's, innermost first; undefined if there is no map, as
 * in Node.js and in what another bundler made.
 */
export function frames(stack, map = globalThis[MAP]) {
  if (map === undefined || typeof stack !== 'string') return undefined;
  map.lines ??= decode(map.mappings);
  return stack.split('\n').map((line) => frame(line, map)).filter((found) => found !== undefined);
}

/** `in deep at task.ts:12`: the innermost frame of the author's own, or else of a package that is used. */
export function place(stack, map) {
  const all = frames(stack, map) ?? [];
  const found = all.find(({ source }) => !source.includes('node_modules/')) ?? all[0];
  return found && `${found.name ? `in ${found.name} ` : ''}at ${found.source}:${found.line}`;
}

/** The stack as the log has it; as the engine says it, if there is no map. */
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
  // `outer/inner` stands within `outer`, and `outer/<` has no name.
  const name = called.split('/').at(-1);
  return { name: name.endsWith('<') ? '' : name, source: sources[mapped.source], line: mapped.line + 1 };
}
