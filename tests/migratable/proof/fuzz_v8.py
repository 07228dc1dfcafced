"""Differential fuzzing on V8, and between V8 and wasmtime: the programs of ``fuzz``, made portable.

Three runs must come to the same: the original in V8, the prepared program, and the prepared one
paused all the time, going on in the same instance, in a new one, or in the other engine. Memories,
globals and tables of the last two must be equal, bit by bit. Knows both hosts; both were written
from docs/reference/migratable-abi.md.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from arts.bench import v8
from arts.migratable import Continuations, Frames, Refused
from arts.migratable.module import FUNCTION_KIND, parse
from arts.migratable.opcodes import TYPE_NAMES

from . import fuzz, smith
from .contract import Guest, Program, Snapshot
from .machine import SIZES, Failed, Value

ANSWERS: Final[dict[str, v8.Value]] = {"ask": 7, "ask64": v8.I64(7), "ask0": 0}
OUT_OF_BOUNDS: Final = "out of bounds"
LAYOUTS: Final = {"f32": "<f", "f64": "<d"}


class Limit(Exception):
    """A run that says nothing: there was not enough of something."""


class End(NamedTuple):
    """What a call came to: results, or how it failed; then what the program holds."""

    result: str
    inside: str = ""


class Call(NamedTuple):
    """A call of an export, and the types of what it gives."""

    name: str
    arguments: list[Value]
    results: list[str]


class Traveller:
    """A prepared program that begins in V8. ``pace`` says when to pause, and whether to move."""

    def __init__(self, node: v8.Node, program: Program, small_loop: int, pace: fuzz.Pace) -> None:
        self.program = program
        self.pace = pace
        self.in_v8 = node.load(program.prepared)
        self.in_v8.continuations = Continuations(program.prepared, small_loop)
        self.starts = any(entry.name == "arts.start" for entry in program.module.exports)
        self.here: v8.Guest | Guest | None = None
        self.last: v8.State | None = None

    def run(self, call: "Call", tally: fuzz.Tally) -> End:
        """Begin, and call an export."""
        try:
            self.here = self.in_v8.start(answers=self._answers())
            if self.starts:
                self._finish("arts.start", [], tally)
            result = self._finish(call.name, call.arguments, tally)
        except (v8.V8Error, Failed) as error:
            return End(failure(error))
        found = told(result, call.results) if isinstance(self.here, v8.Guest) else of_bits(result)
        return End(found, self._inside())

    def drop(self) -> None:
        """Let V8 forget it."""
        if isinstance(self.here, v8.Guest):
            self.here.drop()
        self.in_v8.drop()

    def _finish(self, name: str, arguments: list[Value], tally: fuzz.Tally) -> Any:
        """All turns of a call."""
        fresh = True
        while True:
            polls = self.pace.next()
            if isinstance(self.here, v8.Guest):
                turn = self.here.run(name, list(map(given, arguments)), polls=polls)
                parked, result = turn.outcome == "parked", turn.result
                self.pace.polls += turn.polls
            else:
                assert self.here is not None
                self.here.pause_at(polls)
                found = self.here.call(name, arguments) if fresh else self.here.go_on()
                parked, result = found is None, found
            if not parked:
                return result
            fresh = False
            tally.pauses += 1
            if self.pace.moves():
                tally.moves += 1
                self._move(tally)

    def _move(self, tally: fuzz.Tally) -> None:
        """Into a new instance, of either engine."""
        assert self.pace.chance is not None
        state = self._state()
        to_v8 = self.pace.chance.random() < 0.5
        if isinstance(self.here, v8.Guest):
            self.here.drop()
            tally.outcomes["moves from V8 to " + ("V8" if to_v8 else "wasmtime")] += 1
        elif to_v8:
            tally.outcomes["moves from wasmtime to V8"] += 1
        if to_v8:
            self.here = self.in_v8.restore(state, answers=self._answers())
        else:
            self.here = Guest.restore(self.program, to_snapshot(state), answer)

    def _state(self) -> v8.State:
        """What stands here, in the words of V8's host."""
        if isinstance(self.here, v8.Guest):
            self.last = self.here.capture()
            return self.last
        assert self.here is not None
        assert self.last is not None
        snapshot, described = self.here.capture(), self.program.description
        held = [
            (number, kind, (value.bits or 0).to_bytes(SIZES[kind], "little"))
            for (number, kind), value in zip(described["globals"], snapshot.globals, strict=True)
        ]
        tables = list(zip(described["mutableTables"], snapshot.tables, strict=True))
        return replace(
            self.last, memories=snapshot.memories, stack=snapshot.stack, globals=held, tables=tables
        )

    def _inside(self) -> str:
        state, described = self._state(), self.program.description
        hidden = described["framesPages"] * 65536 if self.program.primary else 0
        parts = [
            f"{len(content)} {hashlib.sha256(content).hexdigest()[:12]}"
            for content in (
                memory if number else memory[: len(memory) - hidden]
                for number, memory in enumerate(state.memories)
            )
        ]
        parts += [f"{number}={bits.hex()}" for number, _, bits in state.globals]
        return " ".join([*parts, *(f"{number}={held}" for number, held in state.tables)])

    def _answers(self) -> dict[tuple[str, str], list[v8.Value]]:
        """What the host answers; a first question may have to wait."""
        chance = self.pace.chance
        waits = chance is not None and not self.pace.exhausted and chance.random() < 0.3
        return {("env", name): [None, it] if waits else [it] for name, it in ANSWERS.items()}


def answer(guest: Guest, _module: str, name: str) -> Any:
    """The same of the host in wasmtime, which never lets anybody wait."""
    kinds = fuzz.SIGNATURES[name]
    return guest.store.function(kinds, kinds[:1], lambda *_: [7])


def to_snapshot(state: v8.State) -> Snapshot:
    """The same state for the host in wasmtime."""
    held = [Value(kind, int.from_bytes(bits, "little")) for _, kind, bits in state.globals]
    return Snapshot(state.memories, state.stack, held, [held for _, held in state.tables])


# -- values ---------------------------------------------------------------------------------------


def given(value: Value) -> v8.Value:
    """An argument, for JavaScript."""
    if value.bits is None:
        return None
    width = 8 * SIZES[value.kind]
    if value.kind in LAYOUTS:
        found: float = struct.unpack(
            LAYOUTS[value.kind], value.bits.to_bytes(width // 8, "little")
        )[0]
        return found
    signed = value.bits - (value.bits >> width - 1 << width)
    return v8.I64(signed) if value.kind == "i64" else signed


def plain_number(value: Value) -> Value:
    """A float that JSON knows instead of one that it does not."""
    if value.kind not in LAYOUTS:
        return value
    found = given(value)
    if isinstance(found, float) and math.isfinite(found):
        return value
    return Value(value.kind, int.from_bytes(struct.pack(LAYOUTS[value.kind], 1.5), "little"))


def told(result: Any, kinds: Sequence[str]) -> str:
    """What JavaScript got, as far as it can tell."""
    values = result if len(kinds) > 1 else [result] * len(kinds)
    return " ".join(_told(kind, value) for kind, value in zip(kinds, values, strict=True))


def of_bits(values: list[Value]) -> str:
    """The same of what wasmtime gave."""
    return " ".join(_told(value.kind, given(value)) for value in values)


def _told(kind: str, value: Any) -> str:
    if kind.endswith("ref"):
        return kind
    if kind in LAYOUTS:
        finite = value is not None and math.isfinite(value)
        return f"{kind}:{float(value) + 0.0}" if finite else kind
    return f"{kind}:{int(value)}"


def failure(error: v8.V8Error | Failed) -> str:
    """How a call failed, in words that both engines share. Raises Limit, or what it is not."""
    if isinstance(error, Failed):
        if any(limit in error.reason for limit in fuzz.LIMITS):
            raise Limit
        return "exception" if error.reason == "exception" else "trap"
    if error.code in ("RangeError", "late"):
        raise Limit
    kinds = {"Exception": "exception", "RuntimeError": "trap"}
    if error.code not in kinds:
        raise error
    return kinds[error.code]


# -- one program ----------------------------------------------------------------------------------


def calls(found: fuzz.Subject) -> list[Call]:
    """The calls to compare: those that JavaScript can make, with numbers that JSON knows."""
    module, made = parse(found.wasm), []
    functions = {entry.name: entry.index for entry in module.exports if entry.kind == FUNCTION_KIND}
    for name, arguments in found.calls:
        results = [TYPE_NAMES[code] for code in module.type_of(functions[name]).results]
        if not smith.FOREIGN & {*results, *(value.kind for value in arguments)}:
            made.append(Call(name, list(map(plain_number, arguments)), results))
    return made


def original(program: v8.Program, call: Call) -> str:
    """What a call does without us. Raises Limit."""
    answers = {("env", which): [it] for which, it in ANSWERS.items()}
    try:
        given_to = list(map(given, call.arguments))
        runs = program.time(entry=call.name, args=given_to, answers=answers)
    except v8.V8Error as error:
        if "memory access out of bounds" in str(error) or "data segment" in str(error):
            return OUT_OF_BOUNDS
        return failure(error)
    return told(runs.result, call.results)


@dataclass
class Subject:
    """A program, original and prepared, in V8."""

    node: v8.Node
    plain: v8.Program
    program: Program
    variant: fuzz.Variant
    tally: fuzz.Tally

    def compare(self, call: Call) -> str:
        """Run a call in all ways: what came of it. Raises Difference."""
        wanted = original(self.plain, call)
        if wanted == OUT_OF_BOUNDS and self.variant.frames is Frames.PRIMARY:
            return "a call that primary frames change"
        wanted = "trap" if wanted == OUT_OF_BOUNDS else wanted
        straight = fuzz.Pace()
        unpaused = self.prepared(call, straight)
        if wanted != unpaused.result:
            raise fuzz.Difference(f"{call}: prepared, not paused\n  {wanted}\n  {unpaused}")
        paused = self.prepared(call, fuzz.Pace(self.variant, straight.polls))
        if unpaused != paused:
            raise fuzz.Difference(f"{call}: paused\n  {unpaused}\n  {paused}")
        failed = wanted in ("trap", "exception")
        return f"a call {'trapped or threw' if failed else 'returned'}"

    def prepared(self, call: Call, pace: fuzz.Pace) -> End:
        """A run of the prepared program."""
        traveller = Traveller(self.node, self.program, self.variant.small_loop, pace)
        try:
            return traveller.run(call, self.tally)
        finally:
            traveller.drop()


def check(node: v8.Node, seed: int) -> fuzz.Tally:
    """Everything about a seed. Raises Difference, or whatever goes wrong."""
    tally, variant = fuzz.Tally(), fuzz.variant_of(seed)
    try:
        found, program = fuzz.prepared(seed, variant, tally.refusals, portable=True)
    except Refused:
        tally.outcomes["refused"] += 1
        return tally
    try:
        plain = node.load(found.wasm)
    except v8.V8Error as error:
        if error.code != "CompileError":
            raise
        tally.outcomes["a module that V8 does not take"] += 1
        return tally
    compared = Subject(node, plain, program, variant, tally)
    for call in calls(found):
        try:
            tally.outcomes[compared.compare(call)] += 1
        except Limit:
            tally.outcomes["a limit of the engine"] += 1
    plain.drop()
    tally.outcomes["modules"] += 1
    tally.features.update(found.features)
    return tally
