"""Every form of a program runs in V8 and moves to and from wasmtime: frames, twins, tables, starts.

With frames in the first memory also a V8 that has no more than one: there is no other way there.
"""

import random
from typing import Any

import pytest
import wasmtime

from arts.bench import v8
from arts.bench.v8 import I64, Node, V8Error, World
from arts.migratable import Frames, Options, Poll, describe, prepare
from tests.browser.moves import PROGRAMS, arguments, in_wasmtime, prepared, to_v8, to_wasmtime
from tests.migratable import host
from tests.migratable.differential import FORMS
from tests.migratable.test_constructs import COMBINATIONS, CONSTRUCTS, LEGACY, SPIN, assemble

PRIMARY = [form for form in FORMS if "primary" in form]
POINTS = 5

# ------------------------------------------------------------------------ constructs


class Traveller:
    """A program that is paused again and again, and goes on in the same or in the other engine."""

    def __init__(self, node: Node, wasm: bytes, entry: str) -> None:
        self.program = node.load(wasm)
        self.there = in_wasmtime(wasm)
        self.entry = entry

    def in_place(self, polls: int) -> tuple[str, int]:
        """(result, pauses), all in one instance."""
        guest, pauses = self.program.start(), 0
        while (turn := self._run(guest, polls)).outcome == "parked":
            pauses += 1
        return repr(turn.result), pauses

    def moving(self, polls: int) -> tuple[str, int]:
        """(result, pauses): from V8 to wasmtime, back to V8 and so on."""
        guest, pauses = self.program.start(), 0
        while (turn := self._run(guest, polls)).outcome == "parked":
            pauses += 1
            other = to_wasmtime(self.there, guest.capture())
            guest.drop()
            other.entry = self.entry
            other.pause_at(polls)
            try:
                if other.run() != "parked":
                    return repr(other.result), pauses
            except (wasmtime.Trap, wasmtime.WasmtimeError):
                return "trap", pauses
            pauses += 1
            guest = self.program.restore(to_v8(other))
        return repr(turn.result), pauses

    def _run(self, guest: v8.Guest, polls: int) -> v8.Turn:
        try:
            return guest.run(self.entry, polls=polls)
        except V8Error as error:
            if error.code not in ("RuntimeError", "Exception"):
                raise
            return v8.Turn("trapped", 0.0, result=Trapped())


class Trapped:
    """The result of a program that had none."""

    def __repr__(self) -> str:
        return "trap"


def check_construct(node: Node, wasm: bytes, entry: str, expected: str, form: str) -> None:
    """Undisturbed, and paused at every so many polls, it comes to what it shall."""
    traveller = Traveller(node, prepare(wasm, Options(Poll.COUNTDOWN, **FORMS[form])), entry)
    outcome = expected.partition(" ")[0]
    assert traveller.in_place(0) == (outcome, 0)
    for polls in (1, 2, 3, 5):
        found, pauses = traveller.in_place(polls)
        assert found == outcome
        assert pauses > 0 or polls > 1, "it has too few polls"
        assert traveller.moving(polls) == (outcome, pauses)


@pytest.mark.parametrize(("name", "form"), COMBINATIONS)
def test_constructs_move_between_engines(node: Node, name: str, form: str) -> None:
    text, expected = CONSTRUCTS[name]
    wasm = wasmtime.wat2wasm(f"(module {text.replace('SPIN', SPIN)})")
    check_construct(node, wasm, "_start" if "start" in name else "f", expected, form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LEGACY)
def test_legacy_exceptions_mean_what_v8_says(node: Node, name: str, form: str) -> None:
    """Unlike wasmtime it knows them itself: the original is the oracle of its replacement."""
    text, expected = LEGACY[name]
    wasm = assemble(f"(module (memory 1) {text.replace('SPIN', SPIN)})")
    try:
        found = str(node.load(wasm).time(entry="f").result)
    except V8Error as error:
        found = "trap None" if error.code == "Exception" else str(error)
    assert found == expected
    check_construct(node, wasm, "f", expected, form)


# ------------------------------------------------------------------------ programs


def check(node: Node, name: str, form: str, points: int) -> None:
    """Both ways, at some points."""
    wasm = prepared(name, form)
    theirs, program = in_wasmtime(wasm), node.load(wasm)
    undisturbed = program.start(World(arguments(name)))
    polls, output = undisturbed.run().polls, undisturbed.stdout
    for point in random.Random(f"{name} {form}").sample(range(1, polls + 1), points):
        here = program.start(World(arguments(name)))
        assert here.run(polls=point).outcome == "parked"
        there = host.Guest(theirs, host.World(arguments(name)))
        there.pause_at(point)
        assert there.run() == "parked"
        mine, other = here.capture(), to_v8(there)
        assert (mine.memories, mine.stack) == (other.memories, other.stack)

        came = program.restore(other)
        assert (came.run().outcome, came.stdout) == ("returned", output)
        went = to_wasmtime(theirs, mine)
        went.pause_at(0)
        assert went.run() in ("done", "exit")
        assert (went.world.out, went.safepoints) == (output, polls - point)
        here.drop()
        came.drop()


@pytest.mark.parametrize("form", [form for form in FORMS if form != "own frames"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_all_forms_move_both_ways(node: Node, name: str, form: str) -> None:
    check(node, name, form, POINTS)


@pytest.mark.parametrize("form", PRIMARY)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_move_to_an_engine_with_one_memory(
    narrow_node: Node, name: str, form: str
) -> None:
    check(narrow_node, name, form, POINTS)


def test_an_engine_with_one_memory_takes_no_program_that_needs_two(narrow_node: Node) -> None:
    with pytest.raises(V8Error, match=r"CompileError: .*memor"):
        narrow_node.load(prepared("queens"))


# ------------------------------------------------------------------------ frames in the memory

GROWING = """(module (memory (export "memory") 1 4)
  (func $deep (param $n i32) (result i32) (local $kept v128) (local $a i64) (local $b i64)
    (local.set $kept (i64x2.splat (i64.const -1)))
    (local.set $a (i64.const -1))
    (if (i32.eqz (local.get $n)) (then
      (loop $l (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                                   (i32.const 4))))
      (return (memory.grow (i32.const 1)))))
    (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1)))
             (i32.wrap_i64 (i64.add (i64x2.extract_lane 1 (local.get $kept)) (local.get $a)))))
  (func (export "run") (result i64) (local $at i32) (local $sum i64)
    (drop (call $deep (i32.const 20)))
    (loop $l
      (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
      (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                          (i32.shl (memory.size) (i32.const 16)))))
    (i64.add (local.get $sum) (i64.extend_i32_u (memory.size)))))"""


@pytest.mark.parametrize("form", FORMS)
def test_new_pages_are_empty_after_frames_were_there(node: Node, form: str) -> None:
    """A stack of frames full of ones is continued, and then the program grows into its place."""
    wasm = prepare(wasmtime.wat2wasm(GROWING), Options(Poll.COUNTDOWN, **FORMS[form]))
    program = node.load(wasm)
    assert program.start().run("run").result == 2
    guest = program.start()
    assert guest.run("run", polls=24).outcome == "parked"
    assert guest.capture().stack.count(b"\xff" * 24) >= 20
    assert guest.run(polls=2).outcome == "parked", "still deep in the recursion"
    moved = program.restore(guest.capture())
    for one in (guest, moved):
        assert one.run(polls=9).outcome == "parked", "has grown, and looks at its memory"
        again = program.restore(one.capture())
        assert again.run().result == one.run().result == 2


def test_frames_leave_nothing_in_the_memory_of_the_program(node: Node) -> None:
    program = node.load(prepared("sort", "primary frames"))
    guest = program.start(World(arguments("sort")))
    for _ in range(10):
        assert guest.run(polls=31).outcome == "parked"
        (memory,) = guest.capture().memories
        pages = program.continuations.description.frames_pages
        assert not any(memory[-pages << 16 :])


def test_a_stack_deeper_than_its_pages_is_the_end(node: Node) -> None:
    wat = """(module (memory 1)
      (func $deep (export "run") (param i32) (result i32) (local i32 i64 i64)
        (if (i32.eqz (local.get 0)) (then
          (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1)))
                                       (i32.const 4))))
          (return (local.get 1))))
        (i32.add (local.get 0) (call $deep (i32.sub (local.get 0) (i32.const 1))))))"""
    options = Options(Poll.COUNTDOWN, frames=Frames.PRIMARY)
    wasm = prepare(wasmtime.wat2wasm(wat), options)
    described = describe(wasm)
    fits = (described.frames_pages << 16) // max(described.frame_sizes)
    guest = node.load(wasm).start()
    if fits < 8000:  # as deep as V8 goes
        with pytest.raises(V8Error, match="RuntimeError: memory access out of bounds"):
            guest.run("run", [fits + 1], polls=fits + 3)
    guest = node.load(wasm).start()
    assert guest.run("run", [min(fits, 8000) - 2], polls=3).outcome == "parked"


# ------------------------------------------------------------------------ tables

TABLES = """(module
  (import "env" "hello" (func $hello (result i32)))
  (memory 1)
  (table $t (export "table") 2 40 funcref)
  (type $k (func (result i32)))
  (elem declare func $one $two $hello)
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func $spin (local i32) (loop $l (br_if $l
    (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 3)))))
  (func (export "run") (result i32)
    (table.set $t (i32.const 0) (ref.func $two))
    (drop (table.grow $t (ref.func $hello) (i32.const 3)))
    (call $spin)
    (table.set $t (i32.const 1) (ref.func $one))
    (call $spin)
    (i32.add
      (i32.mul (i32.const 100) (call_indirect $t (type $k) (i32.const 0)))
      (i32.add (i32.mul (i32.const 10) (call_indirect $t (type $k) (i32.const 1)))
               (call_indirect $t (type $k) (i32.const 4))))))"""


@pytest.mark.parametrize("form", FORMS)
def test_tables_are_kept_by_the_identity_of_functions(node: Node, form: str) -> None:
    options = Options(Poll.COUNTDOWN, **FORMS[form])
    program = node.load(prepare(wasmtime.wat2wasm(TABLES), options))
    answers: Any = {("env", "hello"): [7]}
    guest = program.start(answers=answers)
    assert guest.run("run", polls=2).outcome == "parked"
    state = guest.capture()
    ((number, elements),) = state.tables
    hello, two = elements[2], elements[0]
    assert (number, elements) == (0, [two, None, hello, hello, hello])
    assert hello == 0, "an import"
    moved = program.restore(state, answers=answers)
    assert moved.run(polls=3).outcome == "parked"
    assert moved.capture().tables[0][1][1] is not None
    again = program.restore(moved.capture(), answers=answers)
    assert guest.run().result == moved.run().result == again.run().result == 217


@pytest.mark.parametrize(
    ("elements", "reason"),
    [([None], "size of table 0"), ([None, 99], "element 1 of table 0")],
)
def test_tables_that_cannot_be_are_refused(
    node: Node, elements: list[int | None], reason: str
) -> None:
    program = node.load(prepare(wasmtime.wat2wasm(TABLES), Options(Poll.COUNTDOWN)))
    answers: Any = {("env", "hello"): [7]}
    guest = program.start(answers=answers)
    assert guest.run("run", polls=2).outcome == "parked"
    state = guest.capture()
    state.tables[0] = (0, elements)
    with pytest.raises(V8Error, match=f"corrupt: the state contradicts its program: {reason}"):
        program.restore(state, answers=answers)


# ------------------------------------------------------------------------ start functions

STARTING = """(module (memory 1) (global $g (mut i32) (i32.const 1)) (start $s)
  (func $s (local i32) (loop $l
    (global.set $g (i32.mul (global.get $g) (i32.const 3)))
    (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 3)))))
  (func (export "half") (param i64) (result i64)
    (global.set $g (i32.add (global.get $g) (i32.const 100)))
    (i64.add (i64.extend_i32_u (global.get $g)) (i64.shr_u (local.get 0) (i64.const 1)))))"""


def test_the_start_function_runs_once_wherever_it_ends(node: Node) -> None:
    program = node.load(prepare(wasmtime.wat2wasm(STARTING), Options(Poll.COUNTDOWN)))
    guest = program.start()
    with pytest.raises(V8Error, match=r"misuse: call arts\.start before half"):
        guest.run("half", [I64(8)])
    assert guest.run("arts.start", polls=2).outcome == "parked"
    guest = program.restore(guest.capture())
    assert guest.run().outcome == "returned"
    guest = program.restore(guest.capture())
    with pytest.raises(V8Error, match="misuse: the program has been started"):
        guest.run("arts.start")
    assert guest.run("half", [I64(8)]).result == 27 + 100 + 4
    assert program.restore(guest.capture()).run("half", [I64(2)]).result == 27 + 200 + 1
