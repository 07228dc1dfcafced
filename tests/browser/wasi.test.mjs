// The world of runtime/browser/wasi.mjs, looked at through a memory, without a program.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Wasi } from "../../runtime/browser/wasi.mjs";

const text = (bytes) => new TextDecoder().decode(bytes);

/** A world, its functions, and a memory to talk through. */
function world(options, made = new Wasi(options)) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  let parked = 0;
  made.attach({ memory, park: () => (parked++, 0) });
  const view = () => new DataView(memory.buffer);
  const put = (at, string) => {
    const bytes = new TextEncoder().encode(string);
    new Uint8Array(memory.buffer).set(bytes, at);
    return [at, bytes.length];
  };
  const get = (at, size) => text(new Uint8Array(memory.buffer, at, size));
  const vector = (at, address, size) => {
    view().setUint32(at, address, true);
    view().setUint32(at + 4, size, true);
  };
  const u32 = (at) => view().getUint32(at, true);
  const u64 = (at) => view().getBigUint64(at, true);
  const read = (fd, size) => {
    vector(0, 1024, size);
    const failure = calls.fd_read(fd, 0, 1, 8);
    return failure === 0 ? get(1024, u32(8)) : failure;
  };
  const open = (path, flags = 0, directory = 3) => {
    const failure = calls.path_open(directory, 0, ...put(2048, path), flags, 0n, 0n, 0, 8);
    return failure === 0 ? u32(8) : -failure;
  };
  const list = (fd, size = 4096) => {
    const entries = [];
    for (let cookie = 0n; ;) {
      assert.equal(calls.fd_readdir(fd, 4096, size, cookie, 8), 0);
      const used = u32(8);
      let at = 4096;
      while (at + 24 <= 4096 + used && at + 24 + u32(at + 16) <= 4096 + used) {
        entries.push([get(at + 24, u32(at + 16)), view().getUint8(at + 20)]);
        cookie = u64(at);
        at += 24 + u32(at + 16);
      }
      if (used < size) return entries;
    }
  };
  const calls = made.imports.wasi_snapshot_preview1;
  return { wasi: made, calls, put, get, vector, u32, u64, read, open, list, parked: () => parked };
}

const FILES = {
  "lib/one.py": "print(1)\nprint(2)\n",
  "/lib/sub/two.py": "2",
  "data.bin": new Uint8Array([1, 2, 3]),
};

test("arguments and environment are passed on, in bytes", () => {
  const { calls, get, u32 } = world({ args: ["näme", "x"], env: { A: "1", B: "zwei" } });
  calls.args_sizes_get(0, 4);
  assert.deepEqual([u32(0), u32(4)], [2, 8]);
  calls.args_get(16, 32);
  assert.equal(get(u32(16), 8), "näme\0x\0");
  assert.equal(u32(20), 38);
  calls.environ_sizes_get(0, 4);
  assert.deepEqual([u32(0), u32(4)], [2, 11]);
  calls.environ_get(16, 32);
  assert.equal(get(32, 11), "A=1\0B=zwei\0");
});

test("output is kept, in order, each stream for itself", () => {
  const { wasi, calls, put, vector, u32 } = world();
  vector(0, ...put(100, "one "));
  vector(8, ...put(200, "two"));
  assert.equal(calls.fd_write(1, 0, 2, 16), 0);
  assert.equal(u32(16), 7);
  calls.fd_write(2, 8, 1, 16);
  calls.fd_write(1, 8, 1, 16);
  assert.deepEqual([text(wasi.stdout), text(wasi.stderr)], ["one twotwo", "two"]);
  assert.equal(calls.fd_write(0, 0, 1, 16), 8);
});

test("input comes line by line, then waits, then ends", () => {
  const { wasi, read, parked } = world({ stdin: "first\nsecond", atEnd: false });
  assert.equal(read(0, 4), "firs");
  assert.equal(read(0, 100), "t\n");
  assert.equal(read(0, 100), "second");
  read(0, 100);
  assert.equal(parked(), 1);
  wasi.feed("third\n");
  assert.equal(read(0, 100), "third\n");
  wasi.endInput();
  assert.equal(read(0, 100), "");
  assert.equal(parked(), 1);
});

test("who cannot park is told to try again", () => {
  const wasi = new Wasi({ atEnd: false });
  wasi.attach({ memory: new WebAssembly.Memory({ initial: 1 }) });
  assert.equal(wasi.imports.wasi_snapshot_preview1.fd_read(0, 0, 1, 8), 6);
});

test("the clock ticks a millisecond at every look, whichever clock it is", () => {
  const { calls, u64 } = world();
  calls.clock_time_get(0, 1n, 0);
  assert.equal(u64(0), 1_000_000n);
  calls.clock_time_get(1, 1n, 0);
  assert.equal(u64(0), 2_000_000n);
});

test("chance repeats itself, from each seed in its own way", () => {
  const draw = (seed) => {
    const { calls, u64 } = world({ seed });
    calls.random_get(0, 8);
    return u64(0);
  };
  assert.equal(draw(1), draw(1));
  assert.notEqual(draw(1), draw(2));
});

test("everything that is polled has happened", () => {
  const { calls, put, u32, u64 } = world();
  put(48, "userdata\x01");
  assert.equal(calls.poll_oneoff(0, 512, 2, 8), 0);
  assert.equal(u32(8), 2);
  assert.equal(u64(512 + 32), u64(48));
  assert.equal(u32(512 + 32 + 8), 1 << 16);
});

test("files are found, read, sought and listed", () => {
  const { calls, read, open, list, get, u32, u64 } = world({ files: FILES });
  assert.equal(calls.fd_prestat_get(3, 0), 0);
  assert.equal(calls.fd_prestat_dir_name(3, 64, u32(4)), 0);
  assert.equal(get(64, u32(4)), "/");
  assert.equal(calls.fd_prestat_get(4, 0), 8);
  assert.deepEqual(list(3), [
    ["data.bin", 4],
    ["lib", 3],
  ]);

  const fd = open("lib/../lib/./one.py");
  assert.equal(fd, 4);
  assert.equal(read(fd, 5), "print");
  assert.equal(read(fd, 100), "(1)\nprint(2)\n");
  assert.equal(read(fd, 100), "");
  assert.equal(calls.fd_seek(fd, -3n, 2, 8), 0);
  assert.deepEqual([u64(8), read(fd, 100)], [15n, "2)\n"]);
  assert.equal(calls.fd_seek(fd, -1n, 0, 8), 28);
  assert.equal(calls.fd_tell(fd, 8), 0);
  assert.equal(u64(8), 18n);
  assert.equal(calls.fd_pread(fd, 0, 1, 6n, 8), 0);
  assert.equal(get(1024, u32(8)), "1)\nprint(2)\n");

  assert.equal(calls.fd_filestat_get(fd, 128), 0);
  assert.deepEqual([u64(128 + 32), u32(128 + 16)], [18n, 4]);
  assert.equal(calls.fd_close(fd), 0);
  assert.equal(read(fd, 1), 8);
  assert.equal(open("lib"), 4, "the lowest free number");
  assert.equal(open("sub/two.py", 0, 4), 5, "relative to a directory");
  assert.equal(read(5, 9), "2");
  assert.equal(read(4, 9), 31);
});

test("a small buffer lists a directory in pieces", () => {
  const files = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`file${n + 10}`, ""]));
  const { list } = world({ files });
  assert.deepEqual(
    list(3, 100),
    Object.keys(files).map((name) => [name, 4]),
  );
});

test("what is not there is said so, and nothing is ever written", () => {
  const { calls, open, put, u64 } = world({ files: FILES });
  assert.equal(open("lib/three.py"), -44);
  assert.equal(open("lib/one.py/x"), -44);
  assert.equal(open("lib/new.py", 1), -69);
  assert.equal(open("lib/one.py", 2), -54);
  assert.equal(open("x", 0, 9), -8);
  assert.equal(open("../../data.bin"), 4, "above the root is the root");
  assert.equal(calls.fd_write(4, 0, 0, 8), 8);
  assert.equal(calls.path_filestat_get(3, 0, ...put(2048, "lib"), 128), 0);
  assert.equal(u64(128 + 16) & 255n, 3n);
  assert.equal(calls.path_filestat_get(3, 0, ...put(2048, "nothing"), 128), 44);
  assert.equal(calls.path_unlink_file(3, ...put(2048, "data.bin")), 69);
  assert.equal(calls.fd_seek(1, 0n, 0, 8), 70);
  assert.equal(calls.fd_readdir(4, 0, 10, 0n, 8), 54);
});

test("without files there is no directory", () => {
  assert.equal(world().calls.fd_prestat_get(3, 0), 8);
});

test("a world goes on elsewhere", () => {
  const first = world({
    args: ["a", "b"],
    env: { X: "y" },
    stdin: "left",
    atEnd: false,
    files: FILES,
    seed: 7,
  });
  first.read(first.open("lib/one.py"), 9);
  first.vector(0, ...first.put(100, "said"));
  first.calls.fd_write(1, 0, 1, 8);
  first.calls.clock_time_get(0, 0n, 8);
  first.calls.random_get(0, 8);
  const state = structuredClone(first.wasi.capture());
  const second = world({}, Wasi.restore(state, FILES));
  assert.deepEqual(second.wasi.capture(), state);
  for (const it of [first, second]) {
    it.calls.random_get(512, 8);
    it.calls.clock_time_get(0, 0n, 520);
  }
  assert.equal(second.u64(512), first.u64(512));
  assert.equal(second.u64(520), 2_000_000n);
  assert.equal(second.read(4, 100), "print(2)\n");
  assert.equal(second.read(0, 100), "left");
  assert.equal(text(second.wasi.stdout), "said");
});

test("a world whose open file is gone is refused", () => {
  const first = world({ files: FILES });
  first.open("data.bin");
  assert.throws(() => Wasi.restore(first.wasi.capture(), { "lib/one.py": "" }), /data.bin/);
});

test("a file tree that contradicts itself is refused", () => {
  assert.throws(() => new Wasi({ files: { a: "", "a/b": "" } }), /lies in a file/);
  assert.throws(() => new Wasi({ files: { "/a": "", a: "" } }), /twice/);
  assert.throws(() => new Wasi({ files: { "/": "" } }), /names no file/);
});

test("a world without a program says so", () => {
  assert.throws(() => new Wasi().imports.wasi_snapshot_preview1.args_sizes_get(0, 0), /attach one/);
});

test("leaving is a trap, with the code beside it", () => {
  const { wasi, calls } = world();
  assert.throws(() => calls.proc_exit(3), WebAssembly.RuntimeError);
  assert.equal(wasi.exitCode, 3);
});

test("addresses may lie beyond 2 GiB", () => {
  const memory = new WebAssembly.Memory({ initial: 32769 });
  const wasi = new Wasi();
  wasi.attach({ memory });
  assert.equal(wasi.imports.wasi_snapshot_preview1.clock_time_get(0, 0n, -(2 ** 31) + 8), 0);
  assert.equal(new DataView(memory.buffer).getBigUint64(2 ** 31 + 8, true), 1_000_000n);
});
