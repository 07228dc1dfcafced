/**
 * A process that hosts programs on node, told what to do by lines of JSON on its standard input.
 *
 * Each line is `{"do": NAME, ...}`; each gets one line back, `{"ok": ...}` or
 * `{"error": {"code", "message"}}`. Bytes are base64. Commands are the functions of `Host`, and
 * arts/bench/v8.py speaks them. Knows node. Does not know continuations: the other side makes them.
 */

import { readFile } from "node:fs/promises";
import { versions, hrtime, stdin, stdout } from "node:process";

import { MigratableError, Program, sha256 } from "./migratable.mjs";
import { Wasi } from "./wasi.mjs";

/** @typedef {import("./migratable.mjs").Instance} Instance */
/** @typedef {import("./migratable.mjs").State} State */

/**
 * What host functions that are no part of WASI answer, in turn, the last one again and again;
 * null parks.
 * @typedef {[module: string, name: string, answers: any[]][]} Answers
 */

/** Modules that an engine compiles if it can do what their names say. */
const PROBES = {
  multiMemory: "05050200010001",
  exnref: "010401600000030201000a0d010b0002401f400102000b0b0b",
  tailCalls: "010401600000030201000a0601040012000b",
  memory64: "0503010401",
  simd: "0105016000017b030201000a080106004100fd0f0b",
};

/** One program with its world, between turns. */
class Guest {
  /**
   * @param {Instance} instance
   * @param {Wasi} wasi
   * @param {Pauser} pauser
   */
  constructor(instance, wasi, pauser) {
    this.instance = instance;
    this.wasi = wasi;
    this.pauser = pauser;
    if (instance.program.description.memories > 0) wasi.attach(instance);
    pauser.instance = instance;
  }
}

/** Counts host calls, and asks for a pause at one of them. */
class Pauser {
  /** @type {Instance | null} */ instance = null;
  calls = 0;
  pauseAt = 0;

  /** @param {WebAssembly.Imports} imports @param {Answers} answers */
  constructor(imports, answers) {
    const all = withAnswers(imports, answers, () => this.instance?.park());
    this.imports = Object.fromEntries(
      Object.entries(all).map(([module, functions]) => [
        module,
        Object.fromEntries(
          Object.entries(functions).map(([name, call]) => [name, this.#counted(call)]),
        ),
      ]),
    );
  }

  /** @param {(...args: any[]) => any} call */
  #counted(call) {
    return (/** @type {any[]} */ ...args) => {
      this.calls++;
      if (this.calls === this.pauseAt) this.instance?.requestPause();
      return call(...args);
    };
  }
}

/** The commands. Programs and instances are known by numbers. */
class Host {
  /** @type {Map<number, { module: WebAssembly.Module, program: Program | null }>} */ #programs =
    new Map();
  /** @type {Map<number, Guest>} */ #guests = new Map();
  #numbers = 0;

  /** What this engine is and can do. */
  engine() {
    const preamble = "0061736d01000000";
    const features = Object.fromEntries(
      Object.entries(PROBES).map(([name, hex]) => [
        name,
        WebAssembly.validate(Buffer.from(preamble + hex, "hex")),
      ]),
    );
    return { node: versions.node, v8: versions.v8, features };
  }

  /** Compile a program, prepared or plain. @param {{ wasm?: string, path?: string }} command */
  async load({ wasm, path }) {
    const bytes = path === undefined ? Buffer.from(wasm ?? "", "base64") : await readFile(path);
    const begin = hrtime.bigint();
    const module = await WebAssembly.compile(bytes);
    const ns = since(begin);
    const number = ++this.#numbers;
    const program = isPrepared(module) ? new Program(module, await sha256(bytes)) : null;
    this.#programs.set(number, { module, program });
    return { program: number, prepared: program !== null, ns };
  }

  /** A fresh instance of a prepared program. @param {any} command */
  async start({ program, world, answers = [] }) {
    const wasi = new Wasi(worldFromJson(world));
    const pauser = new Pauser(wasi.imports, answers);
    const begin = hrtime.bigint();
    const instance = await this.#prepared(program).instantiate(pauser.imports);
    const ns = since(begin);
    return { instance: this.#add(new Guest(instance, wasi, pauser)), ns };
  }

  /** A new instance from a captured state. @param {any} command */
  async restore({ program, state, world, files = {}, answers = [] }) {
    const wasi = Wasi.restore(fromJson(world), fromJson(files));
    const pauser = new Pauser(wasi.imports, answers);
    const captured = /** @type {State} */ (fromJson(state));
    const begin = hrtime.bigint();
    const instance = await this.#prepared(program).restore(pauser.imports, captured);
    const ns = since(begin);
    return { instance: this.#add(new Guest(instance, wasi, pauser)), ns };
  }

  /**
   * One turn: until the end, or until it parks; `polls` or `calls` from now it is asked to pause.
   * Answers `missing` instead if there are points to link first.
   * @param {any} command
   */
  run({ instance: number, entry = "_start", args = [], polls = 0, calls = 0 }) {
    const { instance, wasi, pauser } = this.#guest(number);
    const { missing } = instance;
    if (missing.length > 0) return { outcome: "missing", points: missing };
    const counts = instance.program.description.poll === "countdown";
    if (counts) instance.setCountdown(polls);
    else if (polls !== 0) throw new MigratableError("misuse", "this program has no countdown");
    if (!counts && instance.program.description.poll === "flag") instance.withdrawPause();
    pauser.pauseAt = calls === 0 ? 0 : pauser.calls + calls;
    const outcome = timed(wasi, () =>
      instance.stack.length > 0 ? instance.resume() : instance.start(entry, ...fromJson(args)),
    );
    const passed = counts ? (polls - instance.countdown) >>> 0 : 0;
    return { ...outcome, polls: passed };
  }

  /** Link continuations of points that were missing. @param {any} command */
  async link({ instance: number, wasm }) {
    const begin = hrtime.bigint();
    await this.#guest(number).instance.link(() => Buffer.from(wasm, "base64"));
    return { ns: since(begin) };
  }

  /** Everything of a parked instance, as data. @param {any} command */
  capture({ instance: number }) {
    const { instance, wasi } = this.#guest(number);
    const begin = hrtime.bigint();
    const state = instance.capture();
    const ns = since(begin);
    return { state: toJson(state), world: toJson(wasi.capture()), ns };
  }

  /** More input, and whether it is the last. @param {any} command */
  feed({ instance: number, stdin, atEnd }) {
    const { wasi } = this.#guest(number);
    wasi.feed(fromJson(stdin));
    if (atEnd) wasi.endInput();
    return {};
  }

  /** What was written so far. @param {any} command */
  output({ instance: number }) {
    const { wasi } = this.#guest(number);
    return { stdout: toJson(wasi.stdout), stderr: toJson(wasi.stderr) };
  }

  /** Forget an instance or a program. @param {any} command */
  drop({ instance, program }) {
    this.#guests.delete(instance);
    this.#programs.delete(program);
    return {};
  }

  /** Whole runs, each in a fresh instance, of a program prepared or plain. @param {any} command */
  async time({ program, world, entry = "_start", args = [], runs = 1, answers = [] }) {
    const { module } = this.#program(program);
    const times = [];
    const cpuTimes = [];
    /** @type {Wasi | null} */ let wasi = null;
    let ended = null;
    for (let run = 0; run < runs; run++) {
      const fresh = (wasi = new Wasi(worldFromJson(world)));
      const imports = withAnswers(fresh.imports, answers, () => null);
      const { exports } = await WebAssembly.instantiate(module, imports);
      const memory = exports["arts.memory.0"] ?? exports.memory;
      if (memory instanceof WebAssembly.Memory) fresh.attach({ memory });
      const call = /** @type {(...args: any[]) => any} */ (exports[entry]);
      const before = cpuTime();
      ended = timed(fresh, () => ({ parked: false, result: call(...fromJson(args)) }));
      cpuTimes.push(cpuTime() - before);
      times.push(ended.ns);
    }
    return {
      ...ended,
      ns: times,
      cpuNs: cpuTimes,
      stdout: toJson(wasi?.stdout),
      stderr: toJson(wasi?.stderr),
    };
  }

  /** @param {Guest} guest */
  #add(guest) {
    this.#guests.set(++this.#numbers, guest);
    return this.#numbers;
  }

  /** @param {number} number */
  #guest(number) {
    const found = this.#guests.get(number);
    if (!found) throw new MigratableError("misuse", `there is no instance ${number}`);
    return found;
  }

  /** @param {number} number */
  #program(number) {
    const found = this.#programs.get(number);
    if (!found) throw new MigratableError("misuse", `there is no program ${number}`);
    return found;
  }

  /** @param {number} number */
  #prepared(number) {
    const { program } = this.#program(number);
    if (!program) throw new MigratableError("not-prepared", "the program is not prepared");
    return program;
  }
}

/**
 * @param {Wasi} wasi
 * @param {() => import("./migratable.mjs").Outcome} turn
 */
function timed(wasi, turn) {
  const begin = hrtime.bigint();
  try {
    const outcome = turn();
    const ns = since(begin);
    if (outcome.parked) return { outcome: "parked", ns };
    return { outcome: "returned", result: toJson(outcome.result), ns };
  } catch (error) {
    const ns = since(begin);
    if (wasi.exitCode === null) throw error;
    return { outcome: "exited", code: wasi.exitCode, ns };
  }
}

/** @param {WebAssembly.Imports} imports @param {Answers} answers @param {() => any} park */
function withAnswers(imports, answers, park) {
  /** @type {Record<string, Record<string, any>>} */ const all = { ...imports };
  for (const [module, name, list] of answers) {
    const left = list.map(fromJson);
    const next = () => {
      const answer = left.length > 1 ? left.shift() : left[0];
      return answer === null ? park() : answer;
    };
    all[module] = { ...all[module], [name]: next };
  }
  return all;
}

/** @param {bigint} begin */
function since(begin) {
  return Number(hrtime.bigint() - begin);
}

/** Nanoseconds that this thread has computed, as far as node can tell; else those that passed. */
function cpuTime() {
  const used = process.threadCpuUsage?.();
  return used ? (used.user + used.system) * 1000 : Number(hrtime.bigint());
}

/** @param {WebAssembly.Module} module */
function isPrepared(module) {
  return WebAssembly.Module.customSections(module, "arts.migratable").length > 0;
}

/** @param {any} world */
function worldFromJson(world = {}) {
  return /** @type {import("./wasi.mjs").WasiOptions} */ (fromJson(world));
}

/**
 * Bytes as `{"b": base64, "size"}` without the zeros at their end (memories have many), 64-bit
 * numbers as `{"n": digits}`.
 * @param {any} value
 * @returns {any}
 */
function toJson(value) {
  if (typeof value === "bigint") return { n: String(value) };
  if (value instanceof Uint8Array) {
    const used = value.findLastIndex((byte) => byte !== 0) + 1;
    return { b: Buffer.from(value.subarray(0, used)).toString("base64"), size: value.length };
  }
  if (Array.isArray(value)) return value.map(toJson);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, toJson(it)]));
}

/** @param {any} value @returns {any} */
function fromJson(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value.b === "string") {
    const bytes = new Uint8Array(value.size);
    bytes.set(Buffer.from(value.b, "base64"));
    return bytes;
  }
  if (typeof value.n === "string") return BigInt(value.n);
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, fromJson(it)]));
}

/** @param {unknown} error */
function errorToJson(error) {
  const known = error instanceof MigratableError ? error.code : undefined;
  if (error instanceof WebAssembly.Exception) {
    return { code: "Exception", message: "an exception left the program" };
  }
  if (!(error instanceof Error)) return { code: "thrown", message: String(error) };
  return { code: known ?? error.name, message: error.message };
}

async function* lines() {
  /** @type {Buffer[]} */ let parts = [];
  for await (const chunk of stdin) {
    let rest = /** @type {Buffer} */ (chunk);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield Buffer.concat([...parts, rest.subarray(0, end)]).toString();
      parts = [];
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) parts.push(rest);
  }
}

const host = new Host();
for await (const line of lines()) {
  let answer;
  try {
    const { do: name, ...command } = JSON.parse(line);
    if (!Object.getOwnPropertyNames(Host.prototype).includes(name) || name === "constructor") {
      throw new MigratableError("misuse", `there is no command ${name}`);
    }
    answer = { ok: await /** @type {any} */ (host)[name](command) };
  } catch (error) {
    answer = { error: errorToJson(error) };
  }
  stdout.write(JSON.stringify(answer) + "\n");
}
