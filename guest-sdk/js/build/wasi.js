// The environment of the engine while a module is initialized: environment variables, input, some files, and a
// deterministic clock and random numbers. Implements the functions of WASI preview 1 that it calls.

const ERRNO = { success: 0, badf: 8, noent: 44, nosys: 52 };
const FILE_TYPE = { character: 2, folder: 3, file: 4 };
const [STDIN, , STDERR, ROOT] = [0, 1, 2, 3];

/** 2000-01-01, in nanoseconds. */
const BEGIN = 946_684_800_000_000_000n;

/** How much the clock advances with each reading, so that loops with a timeout end. */
const TICK = 1000n;

/** The module exited. */
export class Exit extends Error {}

export class Wasi {
  memory;
  /** Its output on standard error. */
  printed = '';
  #env;
  #files;
  #open = new Map();
  #ticks = 0n;
  #random = 0x9e3779b9;

  /** `files` are `{ path: bytes }`, all in one folder that is the root. */
  constructor({ env, stdin, files }) {
    this.#env = Object.entries(env).map(([key, value]) => encoded(`${key}=${value}\0`));
    this.#files = files;
    this.#open.set(STDIN, { bytes: encoded(stdin), at: 0 });
  }

  get functions() {
    return {
      args_sizes_get: (count, size) => this.#sizes(count, size, []),
      args_get: () => ERRNO.success,
      environ_sizes_get: (count, size) => this.#sizes(count, size, this.#env),
      environ_get: (list, text) => this.#environment(list, text),
      clock_time_get: (_, __, at) => this.#time(at),
      random_get: (at, length) => this.#fill(at, length),
      proc_exit: (code) => {
        throw new Exit(`it exited with code ${code}`);
      },
      fd_prestat_get: (fd, at) => this.#prestat(fd, at),
      fd_prestat_dir_name: (_, at, length) => this.#put(at, encoded('/').subarray(0, length)),
      fd_fdstat_get: (fd, at) => this.#fdstat(fd, at),
      fd_fdstat_set_flags: () => ERRNO.success,
      fd_read: (fd, list, count, at) => this.#read(fd, list, count, at),
      fd_write: (fd, list, count, at) => this.#write(fd, list, count, at),
      fd_seek: (fd, offset, whence, at) => this.#seek(fd, offset, whence, at),
      fd_close: (fd) => (this.#open.delete(fd) ? ERRNO.success : ERRNO.badf),
      fd_readdir: () => ERRNO.nosys,
      path_open: (_, __, path, length, ___, ____, _____, ______, at) => this.#openAt(path, length, at),
      path_filestat_get: (_, __, path, length, at) => this.#filestat(path, length, at),
      path_remove_directory: () => ERRNO.nosys,
      path_unlink_file: () => ERRNO.nosys,
    };
  }

  get #view() {
    return new DataView(this.memory.buffer);
  }

  #put(at, bytes) {
    new Uint8Array(this.memory.buffer).set(bytes, at);
    return ERRNO.success;
  }

  #put32(at, value) {
    this.#view.setUint32(at, value, true);
    return ERRNO.success;
  }

  #sizes(count, size, texts) {
    this.#put32(count, texts.length);
    return this.#put32(size, texts.reduce((sum, text) => sum + text.length, 0));
  }

  #environment(list, text) {
    let at = text;
    this.#env.forEach((variable, nth) => {
      this.#put32(list + 4 * nth, at);
      this.#put(at, variable);
      at += variable.length;
    });
    return ERRNO.success;
  }

  #time(at) {
    this.#ticks += TICK;
    this.#view.setBigUint64(at, BEGIN + this.#ticks, true);
    return ERRNO.success;
  }

  // Marsaglia's xorshift: these random numbers do not have to be secure.
  #fill(at, length) {
    const bytes = Uint8Array.from({ length }, () => {
      this.#random ^= this.#random << 13;
      this.#random ^= this.#random >>> 17;
      this.#random ^= this.#random << 5;
      return this.#random;
    });
    return this.#put(at, bytes);
  }

  #prestat(fd, at) {
    if (fd !== ROOT) return ERRNO.badf;
    this.#put32(at, 0);
    return this.#put32(at + 4, 1);
  }

  #fdstat(fd, at) {
    const isStream = fd < ROOT;
    if (!isStream && fd !== ROOT && !this.#open.has(fd)) return ERRNO.badf;
    const type = isStream ? FILE_TYPE.character : fd === ROOT ? FILE_TYPE.folder : FILE_TYPE.file;
    const all = new Uint8Array(16).fill(0xff);
    return this.#put(at, Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0, ...all));
  }

  // Calls `move` for each buffer of a list until one is not completely used.
  #each(list, count, at, move) {
    let total = 0;
    for (let nth = 0; nth < count; nth += 1) {
      const [from, length] = [0, 4].map((offset) => this.#view.getUint32(list + 8 * nth + offset, true));
      const moved = move(from, length);
      total += moved;
      if (moved < length) break;
    }
    return this.#put32(at, total);
  }

  #read(fd, list, count, at) {
    const file = this.#open.get(fd);
    if (file === undefined) return ERRNO.badf;
    return this.#each(list, count, at, (to, length) => {
      const part = file.bytes.subarray(file.at, file.at + length);
      this.#put(to, part);
      file.at += part.length;
      return part.length;
    });
  }

  #write(fd, list, count, at) {
    return this.#each(list, count, at, (from, length) => {
      const bytes = new Uint8Array(this.memory.buffer, from, length);
      if (fd === STDERR) this.printed += new TextDecoder().decode(bytes);
      return length;
    });
  }

  #seek(fd, offset, whence, at) {
    const file = this.#open.get(fd);
    if (file === undefined) return ERRNO.badf;
    file.at = [0, file.at, file.bytes.length][whence] + Number(offset);
    this.#view.setBigUint64(at, BigInt(file.at), true);
    return ERRNO.success;
  }

  #named(path, length) {
    const text = new TextDecoder().decode(new Uint8Array(this.memory.buffer, path, length));
    return this.#files[text.replace(/^(\.?\/)+/, '')];
  }

  #openAt(path, length, at) {
    const bytes = this.#named(path, length);
    if (bytes === undefined) return ERRNO.noent;
    const fd = Math.max(ROOT, ...this.#open.keys()) + 1;
    this.#open.set(fd, { bytes, at: 0 });
    return this.#put32(at, fd);
  }

  #filestat(path, length, at) {
    const bytes = this.#named(path, length);
    if (bytes === undefined) return ERRNO.noent;
    this.#put(at, new Uint8Array(64));
    this.#view.setUint8(at + 16, FILE_TYPE.file);
    this.#view.setBigUint64(at + 24, 1n, true);
    this.#view.setBigUint64(at + 32, BigInt(bytes.length), true);
    return ERRNO.success;
  }
}

const encoded = (text) => new TextEncoder().encode(text);
