/**
 * What a prepared program says about itself, and the stacks it writes.
 *
 * Knows the description (the custom section `arts.migratable`) and frames, as
 * docs/reference/migratable-abi.md has them. Does not know instances.
 */

/** The version of the contract that this host keeps. */
export const ABI_VERSION = 2;

/** Bytes of a page of memory. */
export const PAGE = 65536;

/** Where frames begin in a memory of their own; what is before belongs to the host. */
export const OWN_BASE = 64;

const SECTION = "arts.migratable";
const TRAILER = 8;

/**
 * Where an activation stands: a function id, and a point of that function (from 1).
 * @typedef {readonly [functionId: number, resume: number]} Point
 */

/**
 * @typedef {"i32" | "i64" | "f32" | "f64" | "v128"} ValueType
 */

/**
 * @typedef {object} Description
 * @property {number} abi version of the contract
 * @property {number} pipeline version of the transformation
 * @property {string} source SHA-256 of the original, in hex
 * @property {"flag" | "countdown" | "none"} poll how the program learns that it shall pause
 * @property {"own" | "primary"} frames where frames are
 * @property {number} framesPages pages for frames
 * @property {boolean} twins whether `arts.slots` holds twins from the beginning
 * @property {[string, string][]} blocking host functions that may park their caller
 * @property {[string, string][]} blocksOn those of them that the program imports
 * @property {number[]} functions function id -> index of the function
 * @property {number[]} frameSizes function id -> bytes of its frames, trailer included
 * @property {number[]} points function id -> number of its points
 * @property {number} memories how many memories the original has
 * @property {number} tables how many tables the original has
 * @property {[number, ValueType][]} globals globals that are part of the state
 * @property {number[]} mutableTables tables that are part of the state
 */

/**
 * Why a program or a state cannot be hosted. `code` is for programs, `message` for people:
 *
 * - `not-prepared`: the module has no description, or a malformed one
 * - `abi`: it was prepared for another version of the contract
 * - `foreign`: the state belongs to other prepared bytes, or to another version
 * - `corrupt`: the state contradicts its program
 * - `unsupported`: the state holds something that is not data (a foreign function in a table)
 * - `missing`: a point on the stack has no continuation
 * - `misuse`: the host itself did something out of turn
 */
export class MigratableError extends Error {
  /**
   * @param {"not-prepared" | "abi" | "foreign" | "corrupt" | "unsupported" | "missing" | "misuse"} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "MigratableError";
    this.code = code;
  }
}

/**
 * Read the description of a compiled module.
 * @param {WebAssembly.Module} module
 * @returns {Description}
 */
export function describe(module) {
  const sections = WebAssembly.Module.customSections(module, SECTION);
  if (sections.length !== 1) {
    throw new MigratableError("not-prepared", "the program is not prepared: prepare it first");
  }
  let fields;
  try {
    fields = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(sections[0]));
  } catch {
    throw malformed("it is not JSON");
  }
  return parseDescription(fields);
}

/**
 * Check the fields of a description; unknown ones are left alone.
 * @param {any} fields
 * @returns {Description}
 */
export function parseDescription(fields) {
  if (fields === null || typeof fields !== "object") throw malformed("it is not an object");
  if (fields.abi !== ABI_VERSION) {
    throw new MigratableError(
      "abi",
      `the program was prepared for ABI version ${fields.abi}, not ${ABI_VERSION}: prepare it again`,
    );
  }
  check(fields, "pipeline", isCount);
  check(fields, "source", (value) => typeof value === "string");
  check(fields, "poll", (value) => ["flag", "countdown", "none"].includes(value));
  check(fields, "frames", (value) => ["own", "primary"].includes(value));
  check(fields, "framesPages", (value) => isCount(value) && value > 0);
  check(fields, "twins", (value) => typeof value === "boolean");
  check(fields, "blocking", isListOf(isPairOfNames));
  check(fields, "blocksOn", isListOf(isPairOfNames));
  check(fields, "functions", isListOf(isCount));
  check(
    fields,
    "frameSizes",
    isListOf((value) => isCount(value) && value >= TRAILER),
  );
  check(fields, "points", isListOf(isCount));
  check(fields, "memories", isCount);
  check(fields, "tables", isCount);
  check(fields, "globals", isListOf(isNumberedType));
  check(
    fields,
    "mutableTables",
    isListOf((value) => isCount(value) && value < fields.tables),
  );
  const sizes = [fields.functions, fields.frameSizes, fields.points].map((list) => list.length);
  if (new Set(sizes).size !== 1) throw malformed("its lists of functions differ in length");
  if (fields.frames === "primary" && (fields.poll === "flag" || fields.memories === 0)) {
    throw malformed("frames in the primary memory leave no room for a flag");
  }
  return fields;
}

/**
 * The points of a captured stack, outermost activation first, with the end of each frame.
 * Throws if this program cannot have written it.
 * @param {Uint8Array} stack
 * @param {Description} description
 * @returns {{ point: Point, end: number }[]}
 */
export function walkStack(stack, description) {
  const view = new DataView(stack.buffer, stack.byteOffset, stack.byteLength);
  const frames = [];
  let end = stack.length;
  while (end > 0) {
    if (end < TRAILER) throw corruptStack(`${end} bytes are too few for a frame`);
    const resume = view.getUint32(end - 8, true);
    const id = view.getUint32(end - 4, true);
    if (id >= description.functions.length) {
      throw corruptStack(`a frame of function id ${id}, which does not exist`);
    }
    if (resume === 0 || resume > description.points[id]) {
      throw corruptStack(`a frame at point ${resume} of function id ${id}`);
    }
    frames.push({ point: /** @type {Point} */ ([id, resume]), end });
    end -= description.frameSizes[id];
    if (end < 0) throw corruptStack("the innermost frame is cut off");
  }
  return frames;
}

/**
 * A copy of a stack whose frames name the slots of their continuations, and the outermost slot.
 * @param {Uint8Array} stack not empty
 * @param {Description} description
 * @param {(point: Point) => number | undefined} slotOf
 * @returns {{ linked: Uint8Array, outermost: number }}
 */
export function linkStack(stack, description, slotOf) {
  const linked = stack.slice();
  const view = new DataView(linked.buffer);
  const slots = walkStack(stack, description).map(({ point, end }) => {
    const slot = slotOf(point);
    if (slot === undefined) {
      const [id, resume] = point;
      throw new MigratableError(
        "missing",
        `no continuation is linked for point ${resume} of function id ${id}`,
      );
    }
    view.setUint32(end - 4, slot, true);
    return slot;
  });
  return { linked, outermost: slots[0] };
}

/** @param {string} why */
function corruptStack(why) {
  return new MigratableError("corrupt", `the stack is corrupt: ${why}`);
}

/** @param {string} why */
function malformed(why) {
  return new MigratableError("not-prepared", `the program's description is malformed: ${why}`);
}

/**
 * @param {any} fields
 * @param {string} field
 * @param {(value: any) => boolean} isRight
 */
function check(fields, field, isRight) {
  if (!isRight(fields[field])) throw malformed(`${field} is ${JSON.stringify(fields[field])}`);
}

/** @param {any} value */
function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

/** @param {(value: any) => boolean} isElement */
function isListOf(isElement) {
  return (/** @type {any} */ value) => Array.isArray(value) && value.every(isElement);
}

/** @param {any} value */
function isPairOfNames(value) {
  return Array.isArray(value) && value.length === 2 && value.every((it) => typeof it === "string");
}

/** @param {any} value */
function isNumberedType(value) {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    isCount(value[0]) &&
    ["i32", "i64", "f32", "f64", "v128"].includes(value[1])
  );
}
