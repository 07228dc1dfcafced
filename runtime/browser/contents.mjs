/**
 * What a prepared program holds besides its stack: memories, globals, tables; as data and back.
 *
 * Knows the exports of docs/reference/migratable-abi.md. Does not know when a program stands still.
 */

import { GlobalBits } from "./bits.mjs";
import { MigratableError, PAGE } from "./description.mjs";

/** @typedef {import("./description.mjs").Description} Description */
/** @typedef {import("./migratable.mjs").State} State */

/** The contents of one instance. */
export class Contents {
  /** @type {GlobalBits | undefined} */ #bits;
  /** @type {Map<Function, number> | undefined} */ #functions;
  #description;
  #exports;
  #accessors;

  /**
   * @param {Description} description
   * @param {Record<string, any>} exports of the instance
   * @param {WebAssembly.Module} accessors of its globals
   */
  constructor(description, exports, accessors) {
    this.#description = description;
    this.#exports = exports;
    this.#accessors = accessors;
  }

  /**
   * A copy of everything.
   * @returns {Pick<State, "memories" | "globals" | "tables">}
   */
  read() {
    const { globals, mutableTables } = this.#description;
    return {
      memories: this.#memories.map((memory) => new Uint8Array(memory.buffer).slice()),
      globals: globals.map(([number, type], n) => [number, type, this.#globals.read(n)]),
      tables: mutableTables.map((number) => [number, this.#elements(number)]),
    };
  }

  /**
   * Put a copy into a fresh instance. Throws MigratableError if it is not one of this program.
   * @param {Pick<State, "memories" | "globals" | "tables">} state
   */
  fill(state) {
    const { memories, mutableTables } = this.#description;
    if (state.memories.length !== memories) throw contradiction("number of memories");
    this.#memories.forEach((memory, n) => fillMemory(memory, state.memories[n]));
    this.#fillGlobals(state);
    if (String(state.tables.map(([number]) => number)) !== String(mutableTables)) {
      throw contradiction("list of tables");
    }
    for (const [number, elements] of state.tables) this.#fillTable(number, elements);
  }

  get #memories() {
    return numbers(this.#description.memories).map(
      (n) =>
        /** @type {WebAssembly.Memory} */ (
          own(this.#exports, `arts.memory.${n}`, WebAssembly.Memory)
        ),
    );
  }

  get #globals() {
    if (this.#bits === undefined) {
      const { globals } = this.#description;
      const found = globals.map(([n]) =>
        own(this.#exports, `arts.global.${n}`, WebAssembly.Global),
      );
      this.#bits = new GlobalBits(
        this.#accessors,
        found,
        globals.map(([, type]) => type),
      );
    }
    return this.#bits;
  }

  /** @param {Pick<State, "globals">} state */
  #fillGlobals(state) {
    const wanted = this.#description.globals;
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
      for (const [name, value] of Object.entries(this.#exports)) {
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
    return numbers(Number(table.length)).map((index) => {
      const element = table.get(counted(table, index));
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
    const missing = elements.length - Number(table.length);
    if (missing < 0) throw contradiction(`size of table ${number}`);
    if (missing > 0) table.grow(counted(table, missing));
    elements.forEach((element, index) => {
      const found = element === null ? null : this.#exports[`arts.function.${element}`];
      if (found === undefined) throw contradiction(`element ${index} of table ${number}`);
      table.set(counted(table, index), found);
    });
  }

  /**
   * @param {number} number
   * @returns {any} with numbers or, if it is a 64-bit table, bigints
   */
  #table(number) {
    return own(this.#exports, `arts.table.${number}`, WebAssembly.Table);
  }
}

/**
 * What a program of this ABI must export.
 * @param {Record<string, any>} exports
 * @param {string} name
 * @param {Function} kind
 * @returns {any}
 */
export function own(exports, name, kind) {
  const found = exports[name];
  if (!(found instanceof kind)) {
    throw new MigratableError("not-prepared", `the program does not export ${name}`);
  }
  return found;
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
 * A number of elements, as a table counts them.
 * @param {any} table
 * @param {number} count
 */
function counted(table, count) {
  return typeof table.length === "bigint" ? BigInt(count) : count;
}

/** @param {number} count */
function numbers(count) {
  return Array.from({ length: count }, (_, n) => n);
}

/** @param {string} what */
function contradiction(what) {
  return new MigratableError("corrupt", `the state contradicts its program: ${what}`);
}
