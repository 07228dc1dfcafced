/**
 * Hosts prepared programs: runs them in turns, and holds them as data in between.
 *
 *     const program = await Program.compile(bytes);
 *     const instance = await program.instantiate(imports);
 *     instance.setCountdown(10_000);
 *     let outcome = instance.start("_start");
 *     while (outcome.parked) {                       // instance.capture() is its whole state
 *       await instance.link(makeContinuations);
 *       outcome = instance.resume();
 *     }
 *
 * An implementation of docs/reference/migratable-abi.md, for browsers and node, without
 * dependencies. Does not know what the imports do, how continuations are made, nor where states go.
 */

import { GlobalBits } from "./bits.mjs";
import { MigratableError, OWN_BASE, PAGE, describe, linkStack, walkStack } from "./description.mjs";

export {
  ABI_VERSION,
  MigratableError,
  describe,
  parseDescription,
  walkStack,
} from "./description.mjs";

/** @typedef {import("./description.mjs").Description} Description */
/** @typedef {import("./description.mjs").Point} Point */
/** @typedef {import("./description.mjs").ValueType} ValueType */

/**
 * Makes a module of continuations for points of a program, exported as `c0`, `c1`, ...
 * @callback MakeContinuations
 * @param {Point[]} points
 * @returns {BufferSource | WebAssembly.Module | Promise<BufferSource | WebAssembly.Module>}
 */

/**
 * How a turn ended: the call returned, or the program has written itself down.
 * @typedef {{ parked: false, result: any } | { parked: true }} Outcome
 */

/**
 * A parked program as plain data: it can be cloned, posted, and written anywhere.
 * @typedef {object} State
 * @property {number} abi version of the contract
 * @property {string} program SHA-256 of the prepared bytes, in hex
 * @property {boolean} started whether the start function of the original has run, or is on the stack
 * @property {Uint8Array[]} memories
 * @property {Uint8Array} stack
 * @property {[number: number, type: ValueType, bits: Uint8Array][]} globals bits are little-endian
 * @property {[number: number, elements: (number | null)[]][]} tables elements are functions
 */

const START_FUNCTION = "arts.start";
const EMPTY = new Uint8Array(0);

/** A prepared program, compiled once. */
export class Program {
  /** @type {Map<string, Promise<WebAssembly.Module>>} */ #continuations = new Map();
  /** @type {WebAssembly.Module | undefined} */ #accessors;

  /**
   * Most should call `Program.compile`.
   * @param {WebAssembly.Module} module
   * @param {string} digest SHA-256 of the prepared bytes, in hex
   * @param {Description} [description]
   */
  constructor(module, digest, description = describe(module)) {
    this.module = module;
    this.digest = digest;
    this.description = description;
  }

  /**
   * Compile prepared bytes. Throws MigratableError if they are not of this ABI.
   * @param {BufferSource} bytes
   * @returns {Promise<Program>}
   */
  static async compile(bytes) {
    const [module, digest] = await Promise.all([WebAssembly.compile(bytes), sha256(bytes)]);
    return new Program(module, digest);
  }

  /**
   * A fresh instance, before its first instruction.
   * @param {WebAssembly.Imports} imports
   * @returns {Promise<Instance>}
   */
  async instantiate(imports) {
    const types = this.description.globals.map(([, type]) => type);
    this.#accessors ??= await GlobalBits.compile(types);
    const instance = await instantiate(this.module, imports);
    return new Instance(this, instance, imports, this.#accessors);
  }

  /**
   * A new instance that stands where a state was captured. Throws MigratableError if the state
   * is not one of this program.
   * @param {WebAssembly.Imports} imports
   * @param {State} state
   * @returns {Promise<Instance>}
   */
  async restore(imports, state) {
    if (state.abi !== this.description.abi) {
      throw new MigratableError(
        "foreign",
        `the state is of ABI version ${state.abi}, the program of ${this.description.abi}`,
      );
    }
    if (state.program !== this.digest) {
      throw new MigratableError(
        "foreign",
        `the state belongs to program ${state.program}, not to ${this.digest}`,
      );
    }
    walkStack(state.stack, this.description);
    const instance = await this.instantiate(imports);
    instance.fill(state);
    return instance;
  }

  /**
   * Compiled continuations of points, kept for every instance that needs the same ones.
   * @param {Point[]} points
   * @param {MakeContinuations} make
   * @returns {Promise<WebAssembly.Module>}
   */
  continuations(points, make) {
    const key = points.join(" ");
    let found = this.#continuations.get(key);
    if (found === undefined) {
      found = compileMade(points, make);
      this.#continuations.set(key, found);
      found.catch(() => this.#continuations.delete(key));
    }
    return found;
  }
}

/** One instance of a program. Made by `Program.instantiate` and `Program.restore`. */
export class Instance {
  /** The program's stack while it is parked: what `resume` goes on from. */
  stack = EMPTY;
  /** Whether a trap or an exception has ended the program. */
  ended = false;

  #running = false;
  #started = false;
  /** Until where the host has written frames since it last cleaned up: there may be remains. */
  #dirtyEnd = 0;
  /** @type {Map<number, number>} */ #slots = new Map();
  /** @type {GlobalBits | undefined} */ #bits;
  /** @type {Map<Function, number> | undefined} */ #functions;

  /**
   * @param {Program} program
   * @param {WebAssembly.Instance} instance
   * @param {WebAssembly.Imports} imports
   * @param {WebAssembly.Module} accessors
   */
  constructor(program, instance, imports, accessors) {
    this.program = program;
    this.imports = imports;
    /** @type {Record<string, any>} */
    this.exports = instance.exports;
    this.#accessors = accessors;
    this.#state = this.#own("arts.state", WebAssembly.Global);
    this.#sp = this.#own("arts.sp", WebAssembly.Global);
    this.#frames = this.#own("arts.frames", WebAssembly.Memory);
    this.#slotTable = this.#own("arts.slots", WebAssembly.Table);
    this.#countdown =
      program.description.poll === "countdown"
        ? this.#own("arts.countdown", WebAssembly.Global)
        : null;
  }

  #accessors;
  /** @type {WebAssembly.Global} */ #state;
  /** @type {WebAssembly.Global} */ #sp;
  /** @type {WebAssembly.Memory} */ #frames;
  /** @type {WebAssembly.Table} */ #slotTable;
  /** @type {WebAssembly.Global | null} */ #countdown;

  /** The first memory of the program: what its host functions read and write. */
  get memory() {
    return /** @type {WebAssembly.Memory} */ (this.#own("arts.memory.0", WebAssembly.Memory));
  }

  // ------------------------------------------------------------------ pausing

  /**
   * Pause at the count-th poll from now; 0 is practically never. Programs with `countdown` only.
   * @param {number} count
   */
  setCountdown(count) {
    if (this.#countdown === null) throw misuse("this program has no countdown");
    this.#countdown.value = count | 0;
  }

  /** What is left of the countdown, from 0 to 2 ** 32 - 1. */
  get countdown() {
    if (this.#countdown === null) throw misuse("this program has no countdown");
    return this.#countdown.value >>> 0;
  }

  /** Pause at the next poll. Programs with `flag` only: call it before a turn, or from an import. */
  requestPause() {
    this.#setFlag(1);
  }

  /** Do not pause after all. */
  withdrawPause() {
    this.#setFlag(0);
  }

  /**
   * For host functions that would block: they call it, return zeros, and are called again with the
   * same arguments when the program goes on.
   * @returns {false} what JavaScript makes a zero of every number type
   */
  park() {
    this.#state.value = 1;
    return false;
  }

  // ------------------------------------------------------------------ turns

  /**
   * Call an export. Traps and exceptions of host functions come out as they are, and are the end.
   * @param {string} name
   * @param {...any} args
   * @returns {Outcome}
   */
  start(name, ...args) {
    this.#mustStand();
    if (this.stack.length > 0) throw misuse("the program is parked: resume it");
    const call = this.exports[name];
    if (typeof call !== "function") throw misuse(`the program exports no function ${name}`);
    if (!this.#started && START_FUNCTION in this.exports && name !== START_FUNCTION) {
      throw misuse(`call ${START_FUNCTION} before ${name}`);
    }
    if (this.#started && name === START_FUNCTION) throw misuse("the program has been started");
    this.#started = true;
    return this.#turn(() => call(...args));
  }

  /**
   * Go on where the program stands. Everything on its stack must have been linked.
   * @returns {Outcome}
   */
  resume() {
    this.#mustStand();
    if (this.stack.length === 0) throw misuse("the program is not parked: start it");
    const { linked, outermost } = linkStack(this.stack, this.program.description, (point) =>
      this.#slotOf(point),
    );
    const base = this.#base;
    const bytes = new Uint8Array(this.#frames.buffer);
    if (base + linked.length > bytes.length) {
      throw new MigratableError("corrupt", `a stack of ${linked.length} bytes does not fit`);
    }
    bytes.set(linked, base);
    this.#dirtyEnd = base + linked.length;
    this.#sp.value = base + linked.length;
    this.#state.value = 0;
    this.stack = EMPTY;
    return this.#turn(this.#slotTable.get(outermost));
  }

  /** Points on the stack that have no continuation yet. */
  get missing() {
    const missing = new Map();
    for (const { point } of walkStack(this.stack, this.program.description)) {
      if (this.#slotOf(point) === undefined) missing.set(keyOf(point), point);
    }
    return /** @type {Point[]} */ (
      [...missing.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1])
    );
  }

  /**
   * Link continuations for whatever is missing. Linked ones stay for later turns.
   * @param {MakeContinuations} make
   * @returns {Promise<void>}
   */
  async link(make) {
    const points = this.missing;
    if (points.length === 0) return;
    const module = await this.program.continuations(points, make);
    const made = (await instantiate(module, this.#importsOf(module))).exports;
    const first = this.#slotTable.grow(points.length);
    points.forEach((point, n) => {
      this.#slotTable.set(first + n, made[`c${n}`]);
      this.#slots.set(keyOf(point), first + n);
    });
  }

  // ------------------------------------------------------------------ state

  /**
   * The whole state, copied. The program must stand: parked, or between calls.
   * @returns {State}
   */
  capture() {
    this.#mustStand();
    const { description, digest } = this.program;
    return {
      abi: description.abi,
      program: digest,
      started: this.#started,
      memories: this.#memories.map((memory) => new Uint8Array(memory.buffer).slice()),
      stack: this.stack.slice(),
      globals: description.globals.map(([number, type], n) => [
        number,
        type,
        this.#globals.read(n),
      ]),
      tables: description.mutableTables.map((number) => [number, this.#elements(number)]),
    };
  }

  /**
   * Put a state into this fresh instance. `Program.restore` does it, after checks of its own.
   * @param {State} state
   */
  fill(state) {
    const { description } = this.program;
    if (state.memories.length !== description.memories) throw contradiction("number of memories");
    this.#memories.forEach((memory, n) => fillMemory(memory, state.memories[n]));
    this.#fillGlobals(state);
    if (String(state.tables.map(([number]) => number)) !== String(description.mutableTables)) {
      throw contradiction("list of tables");
    }
    for (const [number, elements] of state.tables) this.#fillTable(number, elements);
    this.#sp.value = this.#base;
    this.#dirtyEnd = this.#base;
    this.#state.value = 0;
    this.#started = state.started;
    this.stack = state.stack.slice();
    this.exports["arts.restore"]?.();
  }

  // ------------------------------------------------------------------ inside

  /**
   * What continuations import: of the program by its names, and what it imports itself.
   * @param {WebAssembly.Module} continuations
   */
  #importsOf(continuations) {
    /** @type {Record<string, any>} */ const own = { ...this.imports.arts };
    for (const { module, name } of WebAssembly.Module.imports(continuations)) {
      if (module === "arts" && name.startsWith("arts.")) own[name] = this.exports[name];
    }
    return { ...this.imports, arts: own };
  }

  /** @param {() => any} enter */
  #turn(enter) {
    this.#running = true;
    let result;
    try {
      result = enter();
    } catch (error) {
      this.ended = true;
      throw error;
    } finally {
      this.#running = false;
    }
    if (this.#state.value === 0) return /** @type {Outcome} */ ({ parked: false, result });
    this.#takeStack();
    return /** @type {Outcome} */ ({ parked: true });
  }

  #takeStack() {
    const base = this.#base;
    const end = this.#sp.value >>> 0;
    const bytes = new Uint8Array(this.#frames.buffer);
    if (end < base || end > bytes.length) {
      this.ended = true;
      throw new MigratableError("corrupt", `the stack ends at ${end}, outside of its memory`);
    }
    this.stack = bytes.slice(base, end);
    bytes.fill(0, base, Math.max(end, this.#dirtyEnd));
    this.#dirtyEnd = base;
    this.#sp.value = base;
    this.#state.value = 0;
  }

  /** Where frames begin. With frames in the primary memory it moves as that grows. */
  get #base() {
    const { frames, framesPages } = this.program.description;
    return frames === "own" ? OWN_BASE : this.#frames.buffer.byteLength - framesPages * PAGE;
  }

  /**
   * @param {Point} point
   * @returns {number | undefined}
   */
  #slotOf(point) {
    if (this.program.description.twins) return point[0];
    return this.#slots.get(keyOf(point));
  }

  get #memories() {
    return numbers(this.program.description.memories).map(
      (n) => /** @type {WebAssembly.Memory} */ (this.#own(`arts.memory.${n}`, WebAssembly.Memory)),
    );
  }

  get #globals() {
    if (this.#bits === undefined) {
      const { globals } = this.program.description;
      const found = globals.map(([n]) => this.#own(`arts.global.${n}`, WebAssembly.Global));
      this.#bits = new GlobalBits(
        this.#accessors,
        found,
        globals.map(([, type]) => type),
      );
    }
    return this.#bits;
  }

  /** @param {State} state */
  #fillGlobals(state) {
    const wanted = this.program.description.globals;
    const list = (/** @type {any[]} */ globals) =>
      globals.map(([n, type]) => `${n}:${type}`).join();
    if (list(state.globals) !== list(wanted)) throw contradiction("list of globals");
    state.globals.forEach(([number, type, bits], n) => {
      if (bits.length !== GlobalBits.size(type)) throw contradiction(`value of global ${number}`);
      this.#globals.write(n, bits);
    });
  }

  /** Which function of the program an element of a table is. */
  get #functionNumbers() {
    if (this.#functions === undefined) {
      this.#functions = new Map();
      for (const [name, value] of Object.entries(this.exports)) {
        const match = /^arts\.function\.(\d+)$/.exec(name);
        if (match) this.#functions.set(value, Number(match[1]));
      }
    }
    return this.#functions;
  }

  /**
   * @param {number} number
   * @returns {(number | null)[]}
   */
  #elements(number) {
    const table = this.#table(number);
    return numbers(table.length).map((index) => {
      const element = table.get(index);
      if (element === null) return null;
      const found = this.#functionNumbers.get(element);
      if (found === undefined) {
        throw new MigratableError(
          "unsupported",
          `element ${index} of table ${number} is no function of the program: it cannot be captured`,
        );
      }
      return found;
    });
  }

  /**
   * @param {number} number
   * @param {(number | null)[]} elements
   */
  #fillTable(number, elements) {
    const table = this.#table(number);
    const missing = elements.length - table.length;
    if (missing < 0) throw contradiction(`size of table ${number}`);
    if (missing > 0) table.grow(missing);
    elements.forEach((element, index) => {
      const found = element === null ? null : this.exports[`arts.function.${element}`];
      if (found === undefined) throw contradiction(`element ${index} of table ${number}`);
      table.set(index, found);
    });
  }

  /** @param {number} number */
  #table(number) {
    return /** @type {WebAssembly.Table} */ (this.#own(`arts.table.${number}`, WebAssembly.Table));
  }

  /** @param {0 | 1} value */
  #setFlag(value) {
    if (this.program.description.poll !== "flag") throw misuse("this program has no pause request");
    new Uint32Array(this.#frames.buffer, 0, 1)[0] = value;
  }

  #mustStand() {
    if (this.#running) throw misuse("the program is running: host functions must not call into it");
    if (this.ended) throw misuse("the program has ended");
  }

  /**
   * @param {string} name
   * @param {Function} kind
   * @returns {any}
   */
  #own(name, kind) {
    const found = this.exports[name];
    if (!(found instanceof kind)) {
      throw new MigratableError("not-prepared", `the program does not export ${name}`);
    }
    return found;
  }
}

/**
 * A number of its own for each point; they have the order of the points.
 * @param {Point} point
 */
function keyOf([functionId, resume]) {
  return functionId * 2 ** 32 + resume;
}

/**
 * Continuations are small: what takes longest is to wait for another thread.
 * @param {Point[]} points
 * @param {MakeContinuations} make
 */
async function compileMade(points, make) {
  const made = await make(points);
  if (made instanceof WebAssembly.Module) return made;
  return atOnce(
    () => new WebAssembly.Module(made),
    () => WebAssembly.compile(made),
  );
}

/**
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.Imports} imports
 */
function instantiate(module, imports) {
  return atOnce(
    () => new WebAssembly.Instance(module, imports),
    () => WebAssembly.instantiate(module, imports),
  );
}

/**
 * The main thread of a browser refuses (with a RangeError) to do something large at once.
 * @template T
 * @param {() => T} now
 * @param {() => Promise<T>} soon
 * @returns {Promise<T>}
 */
async function atOnce(now, soon) {
  try {
    return now();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return soon();
  }
}

/**
 * @param {WebAssembly.Memory} memory
 * @param {Uint8Array} content
 */
function fillMemory(memory, content) {
  const missing = content.length - memory.buffer.byteLength;
  if (missing < 0 || missing % PAGE !== 0) throw contradiction("size of a memory");
  if (missing > 0) growBy(memory, missing / PAGE);
  new Uint8Array(memory.buffer).set(content);
}

/**
 * @param {any} memory of 32 bits (counts pages in numbers) or 64 (in bigints)
 * @param {number} pages
 */
function growBy(memory, pages) {
  try {
    memory.grow(pages);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    memory.grow(BigInt(pages));
  }
}

/**
 * SHA-256 in hex.
 * @param {BufferSource} bytes
 */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {number} count */
function numbers(count) {
  return Array.from({ length: count }, (_, n) => n);
}

/** @param {string} what */
function misuse(what) {
  return new MigratableError("misuse", what);
}

/** @param {string} what */
function contradiction(what) {
  return new MigratableError("corrupt", `the state contradicts its program: ${what}`);
}
