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
import { compileMade, instantiate } from "./compile.mjs";
import { MigratableError, describe, walkStack } from "./description.mjs";
import { Instance } from "./instance.mjs";

export {
  ABI_VERSION,
  MigratableError,
  describe,
  parseDescription,
  walkStack,
} from "./description.mjs";
export { Instance } from "./instance.mjs";

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

/**
 * SHA-256 in hex.
 * @param {BufferSource} bytes
 */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
