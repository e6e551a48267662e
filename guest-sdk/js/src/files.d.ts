// Access to files in the folders that the operator has granted (`[[grants.folders]]`,
// `output-files`). All calls are synchronous and throw a `FileError` on failure. Only available in
// components.

/** A file or folder can't be used. */
export class FileError extends Error {
  constructor(code: string, path: string, hint?: string);
  /** The error code of WASI, such as `no-entry`, `access`, `is-directory`, `read-only`. */
  readonly code: string;
}

/** An open file. */
export interface File {
  /** The current size in bytes. */
  readonly size: number;
  /** Reads at most `length` bytes (default: 256 KiB) from `offset`; none at the end. */
  read(offset: number, length?: number): Uint8Array;
  write(offset: number, content: Uint8Array | string): void;
  /** Sets the size of the file. */
  truncate(size?: number): void;
  close(): void;
}

/** Opens a file for reading; with `write`, also for writing; with `create`, creates it if it does not exist. */
export function open(path: string, options?: { write?: boolean; create?: boolean }): File;
export function readFile(path: string): Uint8Array;
export function readText(path: string): string;
/** Writes a file, replacing its content. */
export function writeFile(path: string, content: Uint8Array | string): void;
export function appendFile(path: string, content: Uint8Array | string): void;
/** Information about a path; undefined if it does not exist. */
export function stat(path: string): { type: Kind; size: number; modified: Date | undefined } | undefined;
/** The entries of a folder, sorted by name. */
export function list(path: string): { name: string; type: Kind }[];
export function createFolder(path: string): void;
/** The folder must be empty. */
export function removeFolder(path: string): void;
export function removeFile(path: string): void;
/** Both paths must be in the same granted folder. */
export function rename(from: string, to: string): void;

export type Kind = 'file' | 'folder' | 'other';
