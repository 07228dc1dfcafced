"""Real programs, paused at many random places and moved in long chains: their output stays.

Knows which programs, with which work, and how to compare. New programs of wasm-apps belong in
``PROGRAMS``. Each is prepared in several forms; a pause is always a move into a new store.

    python -m tests.migratable.proof.dense [NAME ...] [--pauses 100] [--hops 50]
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from arts.migratable import Frames, Options, Poll, prepare
from tests.migratable.host import Guest, Program, World

ROOT: Final = Path(__file__).parents[3]
APPS, BENCH = ROOT / "wasm-apps", ROOT / "wasm-apps" / "bench"
OWN: Final = ROOT / "tests" / "migratable" / "programs"

LUA: Final = """
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local co = coroutine.wrap(function() for i = 1, 5 do coroutine.yield(fib(i + 6)) end end)
for i = 1, 5 do
  local ok, err = pcall(function() if i % 2 == 0 then error("odd " .. i) end return co() end)
  print(i, ok, err)
end
local t = {}
for i = 1, 200 do t[#t + 1] = (i * 7919) % 101 end
table.sort(t, function(a, b) return a < b end)
print(table.concat(t, ","):sub(1, 40), string.rep("ab", 5):gsub("b", "c"))
"""
JAVASCRIPT: Final = """
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
class Odd extends Error {}
for (let i = 0; i < 4; i++) {
  try { if (i % 2) throw new Odd("odd " + i); print(i, fib(i + 7)); }
  catch (e) { print(e.message); }
}
const words = [...Array(60).keys()].map((i) => (i * 7919) % 101).sort((a, b) => a - b);
print(JSON.stringify(words).replace(/,1/g, ";"), [..."xyz"].reverse().join(""));
Promise.resolve(7).then((n) => print("then", n));
"""
SQL: Final = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
  INSERT INTO t SELECT i, printf('%05d', i * 7919 % 997) FROM n;
CREATE INDEX u ON t(b);
SELECT count(*), sum(b), max(b) FROM t WHERE b LIKE '%1%';
SELECT group_concat(b, ' ') FROM (SELECT b FROM t ORDER BY b DESC LIMIT 9);
"""


@dataclass(frozen=True)
class Dense:
    """A program and its work."""

    name: str
    path: Path
    arguments: tuple[str, ...] = ()
    stdin: bytes = b""
    large: bool = False


PROGRAMS: Final = (
    Dense("nbody", BENCH / "nbody.wasm", ("300",)),
    Dense("sha256", BENCH / "sha256.wasm", ("2",)),
    Dense("fannkuch", BENCH / "fannkuch.wasm", ("5",)),
    Dense("sort", BENCH / "sort.wasm", ("900",)),
    Dense("matmul", BENCH / "matmul.wasm", ("12",)),
    Dense("queens", BENCH / "queens.wasm", ("6",)),
    Dense("sieve", BENCH / "sieve.wasm", ("3000",)),
    Dense("mandelbrot", BENCH / "mandelbrot.wasm", ("16",)),
    Dense("recursive-queens", OWN / "queens.wasm", ("6",)),
    Dense("small-sort", OWN / "sort.wasm", ("150",)),
    Dense("small-matmul", OWN / "matmul.wasm", ("9",)),
    Dense("small-sieve", OWN / "sieve.wasm", ("500",)),
    Dense("block-io", OWN / "blockio.wasm", (), b"alpha 1\nbeta 22\ngamma 333\nd\n"),
    Dense("lua", APPS / "lua" / "lua.wasm", ("-e", LUA), large=True),
    Dense("quickjs", APPS / "quickjs" / "quickjs.wasm", ("-e", JAVASCRIPT), large=True),
    Dense("sqlite", APPS / "sqlite" / "sqlite.wasm", ("-e", SQL), large=True),
)

FORMS: Final = {
    "responsive": (Options(Poll.COUNTDOWN), 256),
    "throughput": (Options(Poll.COUNTDOWN, nest=True), 0),
    "primary": (Options(Poll.COUNTDOWN, frames=Frames.PRIMARY), 12),
    "twins": (Options(Poll.COUNTDOWN, twins=True), 0),
}
"""Name -> (options, how small the loops are whose code is repeated)."""


@cache
def prepared(dense: Dense, form: str) -> Program:
    """The program in a form."""
    options, small_loop = FORMS[form]
    return Program(prepare(dense.path.read_bytes(), options), small_loop)


def start(dense: Dense, form: str) -> Guest:
    """A new run."""
    arguments = [dense.name.encode(), *(text.encode() for text in dense.arguments)]
    return Guest(prepared(dense, form), World(arguments, dense.stdin))


@cache
def reference(dense: Dense, form: str) -> tuple[bytes, int]:
    """(output, number of safepoints) of a run without pauses."""
    guest = start(dense, form)
    guest.pause_at(0)
    assert guest.run() in ("done", "exit")
    assert guest.world.out, "it says nothing"
    return guest.world.out, guest.safepoints


def random_pauses(dense: Dense, form: str, count: int, seed: int = 0) -> Iterator[int]:
    """Pause at ``count`` places, each in a run of its own, and see it end as it should."""
    output, safepoints = reference(dense, form)
    chance = random.Random(f"{dense.name} {form} {seed}")
    points = chance.sample(range(1, safepoints + 1), min(count, safepoints))
    for point in points:
        guest = start(dense, form)
        guest.pause_at(point)
        assert guest.run() == "parked", point
        moved = Guest.restore(guest.program, guest.capture())
        moved.pause_at(0)
        assert moved.run() in ("done", "exit"), point
        assert moved.world.out == output, point
        assert moved.safepoints == safepoints - point, point
        yield point


def chain(dense: Dense, form: str, hops: int) -> int:
    """One run that moves about so often; how often it did."""
    output, safepoints = reference(dense, form)
    chance = random.Random(f"{dense.name} {form}")
    guest, moves = start(dense, form), 0
    usual = max(1, 2 * safepoints // (hops + 1))
    guest.pause_at(chance.randint(1, usual))
    while guest.run() == "parked":
        guest = Guest.restore(guest.program, guest.capture())
        moves += 1
        guest.pause_at(chance.randint(1, usual) if moves < 2 * hops else 0)
    assert guest.world.out == output, moves
    return moves


def main() -> int:
    """The whole of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--pauses", type=int, default=100)
    parser.add_argument("--hops", type=int, default=50)
    asked = parser.parse_args()
    failed = 0
    for dense in PROGRAMS:
        if asked.names and dense.name not in asked.names:
            continue
        pauses, hops, begin = 0, [], time.monotonic()
        try:
            for form in FORMS:
                pauses += sum(1 for _ in random_pauses(dense, form, -(-asked.pauses // len(FORMS))))
                hops.append(chain(dense, form, asked.hops))
        except Exception as error:
            failed += 1
            print(f"{dense.name} {form}: {type(error).__name__}: {error}", flush=True)
        _, safepoints = reference(dense, "responsive")
        print(
            f"{dense.name}: {safepoints} safepoints, {pauses} pauses, chains of {hops} hops, "
            f"{time.monotonic() - begin:.0f} s",
            flush=True,
        )
        prepared.cache_clear()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
