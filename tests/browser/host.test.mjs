// runtime/browser/migratable.mjs as JavaScript sees it. PROGRAMS: a folder made by test_javascript.py.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Program, parseDescription, walkStack } from "../../runtime/browser/migratable.mjs";

const folder = process.env.PROGRAMS;
const load = async (name) => Program.compile(await readFile(`${folder}/${name}.wasm`));
/** Continuations of `asking` for whatever it is asked; it is only ever asked for all of its stack. */
const make = () => readFile(`${folder}/asking.continuations.wasm`);
const refusal = (code, message) => ({ name: "MigratableError", code, message });

/** An instance of `asking` whose host function does what `ask` says. */
async function asking(ask, program) {
  program ??= await load("asking");
  let instance;
  instance = await program.instantiate({ env: { ask: () => ask(instance) } });
  return instance;
}

async function parkedInstance() {
  const instance = await asking((it) => it.park());
  assert.deepEqual(instance.start("run"), { parked: true });
  return instance;
}

test("a call returns, parks, and goes on", async () => {
  const answers = [null, null, 4];
  const instance = await asking((it) => answers.shift() ?? it.park());
  assert.deepEqual(instance.start("run"), { parked: true });
  assert.equal(instance.missing.length, 2);
  await instance.link(make);
  assert.deepEqual(instance.missing, []);
  assert.deepEqual(instance.resume(), { parked: true });
  assert.deepEqual(instance.resume(), { parked: false, result: 5 });
  assert.deepEqual(instance.start("add", 3, 4), { parked: false, result: 7 });
});

test("continuations may come as bytes, as a module, now or later, and are made once", async () => {
  const bytes = await make();
  const program = await load("asking");
  let made = 0;
  for (const answer of [
    () => Promise.reject(new Error("no network")),
    () => bytes,
    () => assert.fail("they are there already"),
  ]) {
    const instance = await asking((it) => it.park(), program);
    instance.start("run");
    await instance
      .link((points) => (made++, answer(points)))
      .then(
        () => assert.deepEqual(instance.resume(), { parked: true }),
        (error) => assert.equal(error.message, "no network"),
      );
  }
  assert.equal(made, 2);
  const instance = await parkedInstance();
  await instance.link(() => new WebAssembly.Module(bytes));
  assert.deepEqual(instance.resume(), { parked: true });
});

test("a state is plain data", async () => {
  const instance = await parkedInstance();
  const state = structuredClone(instance.capture());
  assert.deepEqual(Object.keys(state).sort(), [
    "abi",
    "globals",
    "memories",
    "program",
    "stack",
    "started",
    "tables",
  ]);
  const moved = await instance.program.restore({ env: { ask: () => 1 } }, state);
  await moved.link(make);
  assert.deepEqual(moved.resume(), { parked: false, result: 2 });
  assert.deepEqual(instance.capture(), state, "what was captured is still there");
});

test("no point is passed without its continuation", async () => {
  const instance = await parkedInstance();
  assert.throws(
    () => instance.resume(),
    refusal("missing", /no continuation is linked for point \d+ of function id \d+/),
  );
  await instance.link(make);
  assert.deepEqual(instance.resume(), { parked: true });
});

test("everything in its turn", async () => {
  const instance = await parkedInstance();
  assert.throws(() => instance.start("run"), refusal("misuse", /is parked: resume it/));
  const fresh = await asking(() => 1);
  assert.throws(() => fresh.resume(), refusal("misuse", /not parked: start it/));
  assert.throws(() => fresh.setCountdown(1), refusal("misuse", /no countdown/));
  assert.throws(() => fresh.countdown, refusal("misuse", /no countdown/));
});

test("host functions must not call into the program", async () => {
  const instance = await asking((it) => it.start("add", 1, 1).result);
  assert.throws(() => instance.start("run"), refusal("misuse", /is running/));
  assert.equal(instance.ended, true);
});

test("exceptions of host functions come out as they are, and are the end", async () => {
  const mine = new Error("mine");
  const instance = await asking(() => {
    throw mine;
  });
  assert.throws(
    () => instance.start("run"),
    (error) => error === mine,
  );
  assert.throws(() => instance.start("run"), refusal("misuse", /has ended/));
});

test("a pause request is taken at the next poll, and can be withdrawn", async () => {
  const instance = await asking(() => 0);
  instance.requestPause();
  instance.withdrawPause();
  assert.deepEqual(instance.start("count", 3), { parked: false, result: 3 });
  instance.requestPause();
  assert.deepEqual(instance.start("count", 3), { parked: true });
});

test("descriptions are checked", async () => {
  const good = (await load("asking")).description;
  assert.deepEqual(parseDescription({ ...good, more: 1 }), { ...good, more: 1 });
  for (const abi of [1, 3, "2", undefined]) {
    assert.throws(
      () => parseDescription({ ...good, abi }),
      refusal("abi", /for ABI version .*, not 2/),
    );
  }
  const bad = {
    pipeline: [-1, "1", undefined],
    source: [1],
    poll: ["never"],
    frames: ["none", undefined],
    framesPages: [0, 1.5],
    twins: [0],
    blocking: [{}, [["a"]], [["a", 1]]],
    blocksOn: [null],
    functions: [[-1], "0"],
    frameSizes: [[4]],
    points: [[null]],
    memories: [-1],
    tables: [NaN],
    globals: [[1], [[0, "externref"]], [[0]]],
    mutableTables: [[99], 1],
  };
  for (const [field, values] of Object.entries(bad)) {
    for (const value of values) {
      assert.throws(
        () => parseDescription({ ...good, [field]: value }),
        refusal("not-prepared", new RegExp(`malformed: ${field} is`)),
      );
    }
  }
  for (const wrong of [
    { points: [...good.points, 1] },
    { frames: "primary", poll: "flag" },
    { frames: "primary", poll: "none", memories: 0 },
  ]) {
    assert.throws(
      () => parseDescription({ ...good, ...wrong }),
      refusal("not-prepared", /malformed/),
    );
  }
  assert.throws(() => parseDescription(null), refusal("not-prepared", /not an object/));
});

test("modules without a description are no programs", async () => {
  const preamble = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  await assert.rejects(
    Program.compile(new Uint8Array(preamble)),
    refusal("not-prepared", /not prepared/),
  );
  const name = [..."arts.migratable"].map((letter) => letter.charCodeAt(0));
  const section = [0, name.length + 2, name.length, ...name, 0x7b];
  await assert.rejects(
    Program.compile(new Uint8Array([...preamble, ...section])),
    refusal("not-prepared", /not JSON/),
  );
});

test("a stack is walked from its end", async () => {
  const instance = await parkedInstance();
  const frames = walkStack(instance.stack, instance.program.description);
  assert.equal(frames[0].end, instance.stack.length);
  assert.equal(frames.length, 2);
  assert.deepEqual(walkStack(new Uint8Array(0), instance.program.description), []);
});
