// Standard input and output over WASI preview 1, which is all that a task without an SDK needs.

// @ts-ignore: decorator
@external('wasi_snapshot_preview1', 'fd_read')
declare function fd_read(fd: u32, iovecs: usize, count: u32, read: usize): u32;
// @ts-ignore: decorator
@external('wasi_snapshot_preview1', 'fd_write')
declare function fd_write(fd: u32, iovecs: usize, count: u32, written: usize): u32;
// @ts-ignore: decorator
@external('wasi_snapshot_preview1', 'proc_exit')
declare function proc_exit(code: u32): void;

/** A pointer and a length, followed by space for the number of transferred bytes. */
const iovec = memory.data(12);
const CHUNK = 4096;
const chunk = memory.data(4096);

/** Data that was read after the last line. */
let rest = new Uint8Array(0);

/** The next line of standard input; the rest at its end. */
export function readLine(): string {
  let end = rest.indexOf(0x0a);
  while (end < 0 && readMore()) end = rest.indexOf(0x0a);
  const line = text(end < 0 ? rest : rest.subarray(0, end));
  rest = end < 0 ? new Uint8Array(0) : rest.slice(end + 1);
  return line;
}

function readMore(): bool {
  store<u32>(iovec, chunk);
  store<u32>(iovec, CHUNK, 4);
  if (fd_read(0, iovec, 1, iovec + 8) != 0) return false;
  const size = load<u32>(iovec, 8);
  const longer = new Uint8Array(rest.length + size);
  longer.set(rest);
  memory.copy(longer.dataStart + rest.length, chunk, size);
  rest = longer;
  return size > 0;
}

/** Writes a line to standard output (1) or standard error (2). */
export function writeLine(line: string, to: u32 = 1): void {
  const bytes = String.UTF8.encode(line + '\n');
  let at = changetype<usize>(bytes);
  let left = <u32>bytes.byteLength;
  while (left > 0) {
    store<u32>(iovec, at);
    store<u32>(iovec, left, 4);
    if (fd_write(to, iovec, 1, iovec + 8) != 0) return;
    const written = load<u32>(iovec, 8);
    at += written;
    left -= written;
  }
}

export function exit(code: u32): void {
  proc_exit(code);
}

/** Called by AssemblyScript on errors. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message === null ? 'abort' : message;
  const where = file === null ? '' : file;
  writeLine(`${what} at ${where}:${line}:${column}`, 2);
  proc_exit(255);
}

function text(bytes: Uint8Array): string {
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.byteLength);
}
