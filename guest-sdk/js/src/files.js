// Access to files in the folders that the operator has granted, over `wasi:filesystem`, because the
// engine has no file API of its own. All calls are synchronous.

import { getDirectories } from 'wasi:filesystem/preopens@0.2.0';
import { wellFormed } from './text.js';

/** Bytes per read: little of a run's memory, but few calls. */
const CHUNK_BYTES = 256 * 1024;

const FOLLOW = { symlinkFollow: true };

/** A file or folder can't be used. `code` is the error code of WASI, such as `no-entry`. */
export class FileError extends Error {
  constructor(code, path, hint = '') {
    super(`${path}: ${code}${hint}`);
    this.name = 'FileError';
    this.code = code;
  }
}

/** An open file. */
export class File {
  #descriptor;
  #path;

  constructor(descriptor, path) {
    this.#descriptor = descriptor;
    this.#path = path;
  }

  get size() {
    return Number(this.#call((file) => file.stat()).size);
  }

  /** Reads at most `length` bytes from `offset`; fewer or none at the end. */
  read(offset, length = CHUNK_BYTES) {
    return this.#call((file) => file.read(BigInt(length), BigInt(offset)))[0];
  }

  write(offset, content) {
    let bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    let at = BigInt(offset);
    while (bytes.length > 0) {
      const part = bytes.subarray(0, CHUNK_BYTES);
      const written = this.#call((file) => file.write(part, at));
      bytes = bytes.subarray(Number(written));
      at += written;
    }
  }

  truncate(size = 0) {
    this.#call((file) => file.setSize(BigInt(size)));
  }

  close() {
    this.#descriptor[Symbol.dispose]?.();
  }

  #call(ask) {
    return attempt(this.#path, () => ask(this.#descriptor));
  }
}

/** Opens a file for reading; with `write`, also for writing; with `create`, creates it if it does not exist. */
export function open(path, { write = false, create = false } = {}) {
  return new File(
    at(path, (folder, name) => folder.openAt(FOLLOW, name, { create }, { read: true, write })),
    path,
  );
}

export function readFile(path) {
  const file = open(path);
  try {
    const parts = [];
    for (let length = 0; ; ) {
      const part = file.read(length);
      if (part.length === 0) return joined(parts, length);
      parts.push(part);
      length += part.length;
    }
  } finally {
    file.close();
  }
}

export function readText(path) {
  return new TextDecoder().decode(readFile(path));
}

export function writeFile(path, content) {
  const file = open(path, { write: true, create: true });
  try {
    file.truncate();
    file.write(0, content);
  } finally {
    file.close();
  }
}

export function appendFile(path, content) {
  const file = open(path, { write: true, create: true });
  try {
    file.write(file.size, content);
  } finally {
    file.close();
  }
}

/** Information about a path; undefined if it does not exist. */
export function stat(path) {
  try {
    const { type, size, dataModificationTimestamp: time } = at(path, (folder, name) => folder.statAt(FOLLOW, name));
    return { type: kind(type), size: Number(size), modified: time && toDate(time) };
  } catch (error) {
    if (error.code === 'no-entry') return undefined;
    throw error;
  }
}

/** The entries of a folder, sorted by name. */
export function list(path) {
  const folder = at(path, (folder, name) => folder.openAt(FOLLOW, name, { directory: true }, { read: true }));
  return attempt(path, () => {
    const entries = [];
    const stream = folder.readDirectory();
    for (let entry = stream.readDirectoryEntry(); entry; entry = stream.readDirectoryEntry()) {
      entries.push({ name: entry.name, type: kind(entry.type) });
    }
    return entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  });
}

export function createFolder(path) {
  at(path, (folder, name) => folder.createDirectoryAt(name));
}

export function removeFolder(path) {
  at(path, (folder, name) => folder.removeDirectoryAt(name));
}

export function removeFile(path) {
  at(path, (folder, name) => folder.unlinkFileAt(name));
}

/** Both paths must be in the same granted folder. */
export function rename(from, to) {
  const target = granted(to);
  at(from, (folder, name) => folder.renameAt(name, target.folder, target.name));
}

// The granted folder that contains a path, and the rest of the path.
function granted(given) {
  const path = wellFormed(given);
  let found;
  for (const [folder, mount] of getDirectories()) {
    const root = mount.replace(/\/+$/, '');
    const within = path === root || path.startsWith(`${root}/`);
    if (within && (found === undefined || root.length > found.root.length)) found = { folder, root };
  }
  if (found === undefined) {
    throw new FileError('no-entry', path, ': no folder is granted there ([[grants.folders]], or output-files = true for /output)');
  }
  return { folder: found.folder, name: path.slice(found.root.length).replace(/^\/+/, '') || '.' };
}

function at(path, ask) {
  const { folder, name } = granted(path);
  return attempt(path, () => ask(folder, name));
}

// An error of WASI is thrown with its code as the payload.
function attempt(path, ask) {
  try {
    return ask();
  } catch (thrown) {
    throw typeof thrown?.payload === 'string' ? new FileError(thrown.payload, path) : thrown;
  }
}

function kind(type) {
  if (type === 'regular-file') return 'file';
  return type === 'directory' ? 'folder' : 'other';
}

function toDate({ seconds, nanoseconds }) {
  return new Date(Number(seconds) * 1000 + nanoseconds / 1e6);
}

function joined(parts, length) {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
