/**
 * One instance of a prepared program: its turns, and its stack in between.
 *
 * Knows the protocol of docs/reference/migratable-abi.md. Does not know what the imports do.
 */

import { instantiate } from "./compile.mjs";
import { Contents, own } from "./contents.mjs";
import { MigratableError, OWN_BASE, PAGE, linkStack, walkStack } from "./description.mjs";

/** @typedef {import("./description.mjs").Point} Point */
/** @typedef {import("./migratable.mjs").MakeContinuations} MakeContinuations */
/** @typedef {import("./migratable.mjs").Outcome} Outcome */
/** @typedef {import("./migratable.mjs").Program} Program */
/** @typedef {import("./migratable.mjs").State} State */

const START_FUNCTION = "arts.start";
const EMPTY = new Uint8Array(0);

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
    this.#contents = new Contents(program.description, this.exports, accessors);
    this.#state = own(this.exports, "arts.state", WebAssembly.Global);
    this.#sp = own(this.exports, "arts.sp", WebAssembly.Global);
    this.#frames = own(this.exports, "arts.frames", WebAssembly.Memory);
    this.#slotTable = own(this.exports, "arts.slots", WebAssembly.Table);
    this.#countdown =
      program.description.poll === "countdown"
        ? own(this.exports, "arts.countdown", WebAssembly.Global)
        : null;
  }

  #contents;
  /** @type {WebAssembly.Global} */ #state;
  /** @type {WebAssembly.Global} */ #sp;
  /** @type {WebAssembly.Memory} */ #frames;
  /** @type {WebAssembly.Table} */ #slotTable;
  /** @type {WebAssembly.Global | null} */ #countdown;

  /** The first memory of the program: what its host functions read and write. */
  get memory() {
    return /** @type {WebAssembly.Memory} */ (
      own(this.exports, "arts.memory.0", WebAssembly.Memory)
    );
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
    return {
      abi: this.program.description.abi,
      program: this.program.digest,
      started: this.#started,
      stack: this.stack.slice(),
      ...this.#contents.read(),
    };
  }

  /**
   * Put a state into this fresh instance. `Program.restore` does it, after checks of its own.
   * @param {State} state
   */
  fill(state) {
    this.#contents.fill(state);
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

  /** @param {0 | 1} value */
  #setFlag(value) {
    if (this.program.description.poll !== "flag") throw misuse("this program has no pause request");
    new Uint32Array(this.#frames.buffer, 0, 1)[0] = value;
  }

  #mustStand() {
    if (this.#running) throw misuse("the program is running: host functions must not call into it");
    if (this.ended) throw misuse("the program has ended");
  }
}

/**
 * A number of its own for each point; they have the order of the points.
 * @param {Point} point
 */
function keyOf([functionId, resume]) {
  return functionId * 2 ** 32 + resume;
}

/** @param {string} what */
function misuse(what) {
  return new MigratableError("misuse", what);
}
