/**
 * A small world for WASI preview 1 programs in which nothing happens by chance.
 *
 * Arguments, environment, a clock that ticks a millisecond at every look, seeded random numbers,
 * input that the host feeds, captured output, and read-only files in memory. All of its state is
 * data: a program that is captured with it goes on elsewhere as if nothing had happened.
 *
 * Knows WASI. Does not know instances, beyond their memory and how a host function parks.
 */

import { Files } from "./files.mjs";
import {
  ALL_RIGHTS,
  ANSWERS,
  CHARACTER_DEVICE,
  CREATE,
  EAGAIN,
  EBADF,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  EROFS,
  ESPIPE,
  SUCCESS,
  WANT_DIRECTORY,
  bytesOf,
  concatenate,
  directoryEntry,
  kindOf,
  total,
} from "./wasi-data.mjs";

/** @typedef {import("./files.mjs").Node} Node */

/**
 * @typedef {object} WasiOptions
 * @property {(string | Uint8Array)[]} [args] the program's name first
 * @property {Record<string, string>} [env]
 * @property {string | Uint8Array} [stdin] input that is there already
 * @property {boolean} [atEnd] whether no more input will come; if not, readers park
 * @property {Record<string, Uint8Array | string>} [files] path -> content, found below "/"
 * @property {number} [seed] of random numbers
 */

/**
 * Everything but the files, which have to be given again.
 * @typedef {object} WasiState
 * @property {Uint8Array[]} args
 * @property {Uint8Array[]} env `NAME=value`
 * @property {Uint8Array} stdin input not read yet
 * @property {boolean} atEnd
 * @property {Uint8Array} stdout all that was written so far
 * @property {Uint8Array} stderr
 * @property {number} clock milliseconds
 * @property {number} random
 * @property {[fd: number, path: string, offset: number][]} open files and directories
 */

const TICK_MS = 1;
const ROOT = 3;

const decoder = new TextDecoder();

/** The world of one instance. */
export class Wasi {
  /** What the program said when it left by `proc_exit`; null while it has not. */
  /** @type {number | null} */ exitCode = null;

  /** @type {WebAssembly.Memory | undefined} */ #memory;
  /** @type {() => number | boolean} */ #park = () => EAGAIN;
  /** @type {Uint8Array[]} */ #args;
  /** @type {Uint8Array[]} */ #env;
  /** @type {Uint8Array} */ #stdin;
  /** @type {boolean} */ #atEnd;
  /** @type {Uint8Array[][]} */ #written = [[], [], []];
  #clock = 0;
  #random;
  #files;
  /** @type {Map<number, { path: string, node: Node, offset: number }>} */ #open = new Map();

  /** @param {WasiOptions} [options] */
  constructor({
    args = ["program"],
    env = {},
    stdin = "",
    atEnd = true,
    files = {},
    seed = 1,
  } = {}) {
    this.#args = args.map(bytesOf);
    this.#env = Object.entries(env).map(([name, value]) => bytesOf(`${name}=${value}`));
    this.#stdin = bytesOf(stdin);
    this.#atEnd = atEnd;
    this.#random = seed & 0x7fffffff;
    this.#files = new Files(files);
    if (!this.#files.empty) this.#openAt(ROOT, "/");
  }

  /**
   * Give the world its program: its memory, and what a reader does that must wait.
   * @param {{ memory: WebAssembly.Memory, park?: () => number | boolean }} program
   */
  attach(program) {
    this.#memory = program.memory;
    if (program.park) this.#park = () => /** @type {any} */ (program).park();
  }

  /** More input. @param {string | Uint8Array} more */
  feed(more) {
    this.#stdin = concatenate([this.#stdin, bytesOf(more)]);
  }

  /** There will be no more input. */
  endInput() {
    this.#atEnd = true;
  }

  /** All that was written to standard output. */
  get stdout() {
    return this.#output(1);
  }

  /** All that was written to standard error. */
  get stderr() {
    return this.#output(2);
  }

  /**
   * The state, as data.
   * @returns {WasiState}
   */
  capture() {
    return {
      args: this.#args,
      env: this.#env,
      stdin: this.#stdin.slice(),
      atEnd: this.#atEnd,
      stdout: this.stdout,
      stderr: this.stderr,
      clock: this.#clock,
      random: this.#random,
      open: [...this.#open].map(([fd, { path, offset }]) => [fd, path, offset]),
    };
  }

  /**
   * The world that a state was captured from. Throws if a file that was open is not there.
   * @param {WasiState} state
   * @param {Record<string, Uint8Array | string>} [files]
   * @returns {Wasi}
   */
  static restore(state, files = {}) {
    const wasi = new Wasi({ args: state.args, stdin: state.stdin, atEnd: state.atEnd, files });
    wasi.#env = state.env;
    wasi.#clock = state.clock;
    wasi.#random = state.random;
    wasi.#written = [[], [state.stdout], [state.stderr]];
    wasi.#open.clear();
    for (const [fd, path, offset] of state.open) {
      if (!wasi.#openAt(fd, path, offset)) throw new Error(`the program reads ${path}: not there`);
    }
    return wasi;
  }

  /**
   * What programs import.
   * @returns {{ wasi_snapshot_preview1: Record<string, (...args: any[]) => any> }}
   */
  get imports() {
    /** @type {Record<string, (...args: any[]) => any>} */
    const functions = {};
    for (const [name, answer] of Object.entries(ANSWERS)) functions[name] = () => answer;
    for (const name of Object.getOwnPropertyNames(Wasi.prototype)) {
      if (name.includes("_"))
        functions[name] = unsigned(/** @type {any} */ (this)[name].bind(this));
    }
    return { wasi_snapshot_preview1: functions };
  }

  // ------------------------------------------------------------------ streams and files

  /** @param {number} fd @param {number} vectors @param {number} count @param {number} written */
  fd_write(fd, vectors, count, written) {
    if (fd !== 1 && fd !== 2) return EBADF;
    const chunks = this.#vectors(vectors, count).map((part) => part.slice());
    this.#written[fd].push(...chunks);
    this.#view.setUint32(written, total(chunks), true);
    return SUCCESS;
  }

  /**
   * Of input one line at a time; whoever finds none waits, or is at the end.
   * @param {number} fd @param {number} vectors @param {number} count @param {number} read
   */
  fd_read(fd, vectors, count, read) {
    const open = this.#open.get(fd);
    if (open) {
      const done = this.#readAt(open.node, open.offset, vectors, count, read);
      if (done === SUCCESS) open.offset += this.#view.getUint32(read, true);
      return done;
    }
    if (fd !== 0) return EBADF;
    if (this.#stdin.length === 0 && !this.#atEnd) return this.#park();
    const [space] = this.#vectors(vectors, Math.min(count, 1));
    const line = this.#stdin.indexOf(10) + 1 || this.#stdin.length;
    const taken = this.#stdin.subarray(0, Math.min(line, space?.length ?? 0));
    space?.set(taken);
    this.#stdin = this.#stdin.slice(taken.length);
    this.#view.setUint32(read, taken.length, true);
    return SUCCESS;
  }

  /** @param {number} fd @param {number} vectors @param {number} count @param {bigint} offset @param {number} read */
  fd_pread(fd, vectors, count, offset, read) {
    const open = this.#open.get(fd);
    if (!open) return fd <= 2 ? ESPIPE : EBADF;
    return this.#readAt(open.node, Number(offset), vectors, count, read);
  }

  /** @param {number} fd @param {bigint} offset @param {number} whence @param {number} result */
  fd_seek(fd, offset, whence, result) {
    const open = this.#open.get(fd);
    if (!open) return fd <= 2 ? ESPIPE : EBADF;
    if (!("bytes" in open.node)) return EISDIR;
    const origin = [0, open.offset, open.node.bytes.length][whence];
    if (origin === undefined || origin + Number(offset) < 0) return EINVAL;
    open.offset = origin + Number(offset);
    this.#view.setBigUint64(result, BigInt(open.offset), true);
    return SUCCESS;
  }

  /** @param {number} fd @param {number} result */
  fd_tell(fd, result) {
    return this.fd_seek(fd, 0n, 1, result);
  }

  /** @param {number} fd */
  fd_close(fd) {
    return fd <= 2 || this.#open.delete(fd) ? SUCCESS : EBADF;
  }

  /** @param {number} fd @param {number} result */
  fd_fdstat_get(fd, result) {
    const open = this.#open.get(fd);
    if (!open && fd > 2) return EBADF;
    this.#bytes(result, 24).fill(0);
    this.#view.setUint8(result, open ? kindOf(open.node) : CHARACTER_DEVICE);
    this.#view.setBigUint64(result + 8, ALL_RIGHTS, true);
    this.#view.setBigUint64(result + 16, open ? ALL_RIGHTS : 0n, true);
    return SUCCESS;
  }

  /** @param {number} fd @param {number} result */
  fd_filestat_get(fd, result) {
    const open = this.#open.get(fd);
    if (!open && fd > 2) return EBADF;
    this.#writeStat(result, open?.node);
    return SUCCESS;
  }

  /** @param {number} fd @param {number} result */
  fd_prestat_get(fd, result) {
    if (fd !== ROOT || !this.#open.has(ROOT)) return EBADF;
    this.#view.setUint32(result, 0, true);
    this.#view.setUint32(result + 4, 1, true);
    return SUCCESS;
  }

  /** @param {number} fd @param {number} path @param {number} size */
  fd_prestat_dir_name(fd, path, size) {
    if (fd !== ROOT || !this.#open.has(ROOT)) return EBADF;
    if (size < 1) return EINVAL;
    this.#bytes(path, 1)[0] = 0x2f;
    return SUCCESS;
  }

  /** @param {number} fd @param {number} at @param {number} size @param {bigint} cookie @param {number} used */
  fd_readdir(fd, at, size, cookie, used) {
    const node = this.#open.get(fd)?.node;
    if (node === undefined) return EBADF;
    if (!("entries" in node)) return ENOTDIR;
    const entries = [...node.entries].slice(Number(cookie));
    const listing = concatenate(
      entries.map(([title, child], n) => directoryEntry(cookie + BigInt(n) + 1n, title, child)),
    ).subarray(0, size);
    this.#bytes(at, listing.length).set(listing);
    this.#view.setUint32(used, listing.length, true);
    return SUCCESS;
  }

  /**
   * @param {number} fd @param {number} _lookup @param {number} path @param {number} size
   * @param {number} flags @param {bigint} _rights @param {bigint} _inheriting
   * @param {number} _fdflags @param {number} result
   */
  path_open(fd, _lookup, path, size, flags, _rights, _inheriting, _fdflags, result) {
    const directory = this.#open.get(fd);
    if (!directory) return EBADF;
    const found = Files.join(directory.path, decoder.decode(this.#bytes(path, size)));
    const node = this.#files.find(found);
    if (node === undefined) return flags & CREATE ? EROFS : ENOENT;
    if (flags & WANT_DIRECTORY && !("entries" in node)) return ENOTDIR;
    let free = ROOT + 1;
    while (this.#open.has(free)) free++;
    this.#openAt(free, found);
    this.#view.setUint32(result, free, true);
    return SUCCESS;
  }

  /** @param {number} fd @param {number} _flags @param {number} path @param {number} size @param {number} result */
  path_filestat_get(fd, _flags, path, size, result) {
    const directory = this.#open.get(fd);
    if (!directory) return EBADF;
    const found = Files.join(directory.path, decoder.decode(this.#bytes(path, size)));
    const node = this.#files.find(found);
    if (node === undefined) return ENOENT;
    this.#writeStat(result, node);
    return SUCCESS;
  }

  // ------------------------------------------------------------------ the rest

  /** @param {number} count @param {number} size */
  args_sizes_get(count, size) {
    return this.#writeSizes(this.#args, count, size);
  }

  /** @param {number} pointers @param {number} content */
  args_get(pointers, content) {
    return this.#writeStrings(this.#args, pointers, content);
  }

  /** @param {number} count @param {number} size */
  environ_sizes_get(count, size) {
    return this.#writeSizes(this.#env, count, size);
  }

  /** @param {number} pointers @param {number} content */
  environ_get(pointers, content) {
    return this.#writeStrings(this.#env, pointers, content);
  }

  /** @param {number} _clock @param {bigint} _precision @param {number} result */
  clock_time_get(_clock, _precision, result) {
    this.#clock += TICK_MS;
    this.#view.setBigUint64(result, BigInt(this.#clock) * 1_000_000n, true);
    return SUCCESS;
  }

  /** @param {number} _clock @param {number} result */
  clock_res_get(_clock, result) {
    this.#view.setBigUint64(result, BigInt(TICK_MS) * 1_000_000n, true);
    return SUCCESS;
  }

  /** @param {number} at @param {number} size */
  random_get(at, size) {
    const bytes = this.#bytes(at, size);
    for (let n = 0; n < size; n++) {
      this.#random = (Math.imul(this.#random, 1103515245) + 12345) & 0x7fffffff;
      bytes[n] = this.#random >> 16;
    }
    return SUCCESS;
  }

  /**
   * Everything that somebody waits for has happened already.
   * @param {number} wanted @param {number} events @param {number} count @param {number} number
   */
  poll_oneoff(wanted, events, count, number) {
    for (let n = 0; n < count; n++) {
      const subscription = this.#bytes(wanted + 48 * n, 9).slice();
      const event = this.#bytes(events + 32 * n, 32).fill(0);
      event.set(subscription.subarray(0, 8));
      event[10] = subscription[8];
    }
    this.#view.setUint32(number, count, true);
    return SUCCESS;
  }

  /** Leave, by a trap: no handler in the program may catch it. @param {number} code */
  proc_exit(code) {
    this.exitCode = code;
    trap();
  }

  // ------------------------------------------------------------------ inside

  get #buffer() {
    if (!this.#memory) throw new Error("the world has no program: attach one");
    return this.#memory.buffer;
  }

  get #view() {
    return new DataView(this.#buffer);
  }

  /** @param {number} at @param {number} size */
  #bytes(at, size) {
    return new Uint8Array(this.#buffer, at, size);
  }

  /** @param {number} at @param {number} count @returns {Uint8Array[]} */
  #vectors(at, count) {
    const view = this.#view;
    return Array.from({ length: count }, (_, n) =>
      this.#bytes(view.getUint32(at + 8 * n, true), view.getUint32(at + 8 * n + 4, true)),
    );
  }

  /** @param {number} fd */
  #output(fd) {
    const all = concatenate(this.#written[fd]);
    this.#written[fd] = [all];
    return all;
  }

  /** @param {number} fd @param {string} path @param {number} [offset] */
  #openAt(fd, path, offset = 0) {
    const node = this.#files.find(path);
    if (node !== undefined) this.#open.set(fd, { path, node, offset });
    return node !== undefined;
  }

  /** @param {Node} node @param {number} offset @param {number} vectors @param {number} count @param {number} read */
  #readAt(node, offset, vectors, count, read) {
    if (!("bytes" in node)) return EISDIR;
    let at = offset;
    for (const space of this.#vectors(vectors, count)) {
      const part = node.bytes.subarray(at, at + space.length);
      space.set(part);
      at += part.length;
    }
    this.#view.setUint32(read, at - offset, true);
    return SUCCESS;
  }

  /** @param {number} at @param {Node | undefined} node none is a standard stream */
  #writeStat(at, node) {
    this.#bytes(at, 64).fill(0);
    const view = this.#view;
    view.setBigUint64(at + 8, node?.inode ?? 0n, true);
    view.setUint8(at + 16, node ? kindOf(node) : CHARACTER_DEVICE);
    view.setBigUint64(at + 24, 1n, true);
    view.setBigUint64(at + 32, BigInt(node && "bytes" in node ? node.bytes.length : 0), true);
  }

  /** @param {Uint8Array[]} strings @param {number} count @param {number} size */
  #writeSizes(strings, count, size) {
    this.#view.setUint32(count, strings.length, true);
    this.#view.setUint32(size, total(strings) + strings.length, true);
    return SUCCESS;
  }

  /** @param {Uint8Array[]} strings @param {number} pointers @param {number} content */
  #writeStrings(strings, pointers, content) {
    strings.forEach((string, n) => {
      this.#view.setUint32(pointers + 4 * n, content, true);
      this.#bytes(content, string.length + 1).set([...string, 0]);
      content += string.length + 1;
    });
    return SUCCESS;
  }
}

/**
 * Addresses come as signed numbers; beyond 2 GiB that matters.
 * @param {(...args: any[]) => any} call
 */
function unsigned(call) {
  return (/** @type {any[]} */ ...args) =>
    call(...args.map((arg) => (typeof arg === "number" ? arg >>> 0 : arg)));
}

/** @type {(() => never) | undefined} */
let unreachable;

/** An exception that is thrown from JavaScript can be caught by WebAssembly; a trap cannot. */
function trap() {
  if (unreachable === undefined) {
    const bytes = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1];
    bytes.push(0x74, 0, 0, 10, 5, 1, 3, 0, 0x00, 0x0b);
    const module = new WebAssembly.Module(new Uint8Array(bytes));
    unreachable = /** @type {any} */ (new WebAssembly.Instance(module).exports.t);
  }
  /** @type {() => never} */ (unreachable)();
}
