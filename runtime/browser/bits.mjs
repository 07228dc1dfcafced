/**
 * The exact bits of WebAssembly globals.
 *
 * JavaScript cannot see them all: a NaN loses its payload on the way, and a v128 does not come out
 * at all. So a tiny module, made here, looks for us: for each global it exports functions that
 * move its bits as integers. Knows value types and a few opcodes. Does not know programs.
 */

/** @typedef {import("./description.mjs").ValueType} ValueType */

/** Bytes of a value. */
const SIZES = { i32: 4, i64: 8, f32: 4, f64: 8, v128: 16 };

/** Codes of the value types in the binary format. */
const CODES = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** [integer type that carries the bits, to integer, from integer] of each type, lane by lane. */
const LANES = {
  i32: [{ carrier: "i32", read: [], write: [] }],
  i64: [{ carrier: "i64", read: [], write: [] }],
  f32: [{ carrier: "i32", read: [0xbc], write: [0xbe] }],
  f64: [{ carrier: "i64", read: [0xbd], write: [0xbf] }],
  v128: [0, 1].map((lane) => ({
    carrier: "i64",
    read: [0xfd, 0x1d, lane], // i64x2.extract_lane
    write: [0xfd, 0x1e, lane], // i64x2.replace_lane
  })),
};

/** Reads and writes mutable globals as little-endian bytes. */
export class GlobalBits {
  /** @type {Record<string, any>} */ #access;
  /** @type {ValueType[]} */ #types;

  /**
   * @param {WebAssembly.Module} accessors compiled for the types
   * @param {WebAssembly.Global[]} globals mutable ones
   * @param {ValueType[]} types
   */
  constructor(accessors, globals, types) {
    this.#types = types;
    const imports = Object.fromEntries(globals.map((global, n) => [String(n), global]));
    this.#access = new WebAssembly.Instance(accessors, { g: imports }).exports;
  }

  /**
   * Make and compile what looks at globals of the types.
   * @param {ValueType[]} types
   * @returns {Promise<WebAssembly.Module>}
   */
  static compile(types) {
    return WebAssembly.compile(accessors(types));
  }

  /**
   * @param {number} n number in the list
   * @returns {Uint8Array}
   */
  read(n) {
    const bits = new Uint8Array(SIZES[this.#types[n]]);
    const view = new DataView(bits.buffer);
    LANES[this.#types[n]].forEach(({ carrier }, lane) => {
      const value = this.#access[`r${n}.${lane}`]();
      if (carrier === "i32") view.setInt32(0, value, true);
      else view.setBigInt64(8 * lane, value, true);
    });
    return bits;
  }

  /**
   * @param {number} n number in the list
   * @param {Uint8Array} bits as long as the type
   */
  write(n, bits) {
    const view = new DataView(bits.buffer, bits.byteOffset, bits.byteLength);
    LANES[this.#types[n]].forEach(({ carrier }, lane) => {
      const value = carrier === "i32" ? view.getInt32(0, true) : view.getBigInt64(8 * lane, true);
      this.#access[`w${n}.${lane}`](value);
    });
  }

  /**
   * Bytes of a value of a type.
   * @param {ValueType} type
   */
  static size(type) {
    return SIZES[type];
  }
}

/**
 * A module that imports `g.0`, `g.1`, ... and exports `rN.L: () -> integer` and
 * `wN.L: integer -> ()` for lane L of global N.
 * @param {ValueType[]} types
 */
function accessors(types) {
  // Types 0 to 3: read an i32, read an i64, write an i32, write an i64.
  const signatures = [
    [0x60, 0, 1, CODES.i32],
    [0x60, 0, 1, CODES.i64],
    [0x60, 1, CODES.i32, 0],
    [0x60, 1, CODES.i64, 0],
  ];
  const imports = types.map((type, n) => [...name("g"), ...name(`${n}`), 3, CODES[type], 1]);
  /** @type {number[][]} */ const functions = [];
  /** @type {number[][]} */ const exports = [];
  /** @type {number[][]} */ const bodies = [];
  types.forEach((type, n) => {
    const get = [0x23, ...leb(n)];
    const set = [0x24, ...leb(n)];
    LANES[type].forEach(({ carrier, read, write }, lane) => {
      const wide = carrier === "i64" ? 1 : 0;
      const add = (
        /** @type {string} */ title,
        /** @type {number} */ kind,
        /** @type {number[]} */ code,
      ) => {
        exports.push([...name(title), 0, ...leb(functions.length)]);
        functions.push([kind]);
        bodies.push(sized([0, ...code, 0x0b]));
      };
      add(`r${n}.${lane}`, wide, [...get, ...read]);
      // A lane is put into the old value.
      add(`w${n}.${lane}`, 2 + wide, [...(type === "v128" ? get : []), 0x20, 0, ...write, ...set]);
    });
  });
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, signatures),
    ...section(2, imports),
    ...section(3, functions),
    ...section(7, exports),
    ...section(10, bodies),
  ]);
}

/**
 * @param {number} id
 * @param {number[][]} entries
 */
function section(id, entries) {
  return [id, ...sized([...leb(entries.length), ...entries.flat()])];
}

/** @param {number[]} content */
function sized(content) {
  return [...leb(content.length), ...content];
}

/** @param {string} text ASCII */
function name(text) {
  return sized([...text].map((letter) => letter.charCodeAt(0)));
}

/**
 * An unsigned number in LEB128.
 * @param {number} value
 */
function leb(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}
