// Files in the folders that the operator has granted (`[[grants.folders]]`, `output-files`). All
// calls return when they are done; what fails throws a `FileError`. Only within a component.

/** A file or folder can't be used. */
export class FileError extends Error {
  constructor(code: string, path: string, hint?: string);
  /** That of WASI, such as `no-entry`, `access`, `is-directory`, `read-only`. */
  readonly code: string;
}

/** An open file. */
export interface File {
  /** In bytes, at this moment. */
  readonly size: number;
  /** At most `length` bytes (256 KiB unless said otherwise) from `offset`; none at the end. */
  read(offset: number, length?: number): Uint8Array;
  write(offset: number, content: Uint8Array | string): void;
  /** Makes it this long. */
  truncate(size?: number): void;
  close(): void;
}

/** Opens a file to read it; with `write` to change it too, with `create` if there is none. */
export function open(path: string, options?: { write?: boolean; create?: boolean }): File;
export function readFile(path: string): Uint8Array;
export function readText(path: string): string;
/** Replaces what was there. */
export function writeFile(path: string, content: Uint8Array | string): void;
export function appendFile(path: string, content: Uint8Array | string): void;
/** What is there; undefined if nothing. */
export function stat(path: string): { type: Kind; size: number; modified: Date | undefined } | undefined;
/** What is in a folder, by name. */
export function list(path: string): { name: string; type: Kind }[];
export function createFolder(path: string): void;
/** It has to be empty. */
export function removeFolder(path: string): void;
export function removeFile(path: string): void;
/** Both have to be in the same granted folder. */
export function rename(from: string, to: string): void;

export type Kind = 'file' | 'folder' | 'other';
