"""Differential fuzzing: the same program plainly, prepared, and paused and moved all the time.

Programs are those of ``generator`` (even seeds) and of wasm-smith (odd ones). Knows how runs are
compared; results, traps, memories and globals must be the same, bit by bit (every NaN has the
same bits here). A seed says everything, so that a difference can be seen again.

"""

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final

from arts.migratable import Frames, Options, Poll, Refused, prepare

from . import generator, smith
from .contract import Guest, Program, begin
from .machine import GLOBAL, MEMORY, TABLE, Failed, Instance, Store, Value, compiled
from .saturate import saturated

PAUSES: Final = 5
"""About so many for each call, wherever it is; some right after another."""
SIGNATURES: Final = {"ask": ("i32",), "ask64": ("i64", "i32"), "ask0": ()}
"""Parameters of the functions that programs import from ``env``; the first is also the result."""
BLOCKING: Final = frozenset(("env", name) for name in SIGNATURES)
LIMITS: Final = ("call stack exhausted", "allocation", "resource")
"""Failures that depend on how much of something there is: a run that meets one says nothing."""


class Difference(AssertionError):
    """Preparing changed what a program does."""


@dataclass
class Subject:
    """A program, and the calls to compare."""

    wasm: bytes
    calls: list[tuple[str, list[Value]]]
    features: frozenset[str]
    text: str = ""


@dataclass(frozen=True)
class Variant:
    """How it is prepared and paused."""

    seed: int
    density: float | None
    small_loop: int
    nest: bool
    moving: float
    frames: Frames
    twins: bool

    def program(self, wasm: bytes) -> Program:
        """The prepared program. Raises Refused."""
        dense = wasm if self.density is None else saturated(wasm, self.density, self.seed)
        options = Options(Poll.COUNTDOWN, self.nest, BLOCKING, self.frames, self.twins)
        return Program(prepare(dense, options), self.small_loop)


@dataclass
class Tally:
    """What was seen."""

    outcomes: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    moves: int = 0

    def add(self, other: "Tally") -> None:
        """Count on."""
        self.outcomes += other.outcomes
        self.features += other.features
        self.refusals += other.refusals
        self.pauses += other.pauses
        self.moves += other.moves


class Host:
    """The functions that programs import. ``chance``: whether to let the caller wait first."""

    def __init__(self, chance: random.Random | None) -> None:
        self.chance = chance
        self.answered = 0
        self.waiting = False

    def imports(self, guest: Guest, _module: str, name: str) -> Any:
        """For prepared programs."""
        return self.function(guest.store, name, guest)

    def function(self, store: Store, name: str, guest: Guest | None = None) -> Any:
        """One of them."""
        kinds = SIGNATURES[name]

        def ask(question: int = 0, more: int = 0) -> list[int]:
            if guest is not None and self.chance is not None:
                self.waiting = not self.waiting and self.chance.random() < 0.5
                if self.waiting:
                    guest.park()
                    return [0] * len(kinds[:1])
            self.answered += 1
            return [(question ^ 0x55 ^ more) + self.answered & 0xFFFFFFFF][: len(kinds)]

        return store.function(kinds, kinds[:1], ask)


def subject(seed: int, portable: bool = False) -> Subject:
    """The program of a seed; if it is portable, all engines agree about every bit."""
    if seed % 2:
        wasm = smith.module(seed, portable)
        return Subject(wasm, smith.calls(wasm, seed, portable), frozenset({"smith"}))
    made = generator.program(seed, portable=portable)
    return Subject(made.wasm, made.calls, made.features, made.text)


WITHOUT: Final = {
    "tail call": "tails", "with parameters": "parameters", "start section": "start",
    "64-bit": "memory64", "table": "tables", "elem.drop": "tables", "exnref": "references",
    "legacy": "legacy", "address of a blocking": "address",
}  # fmt: skip
"""What a generated program must do without if it is refused for a reason."""


def prepared(
    seed: int, variant: Variant, refusals: Counter[str], portable: bool = False
) -> tuple[Subject, Program]:
    """The program of a seed, without what is refused. Raises Refused."""
    found = subject(seed, portable)
    while True:
        try:
            return found, variant.program(found.wasm)
        except Refused as refused:
            refusals[refused.reason] += 1
            blamed = {without for part, without in WITHOUT.items() if part in refused.reason}
            if seed % 2 or not blamed & found.features:
                if variant.density is None:
                    raise
                # With more points there is more to be kept, and not all can be.
                variant = replace(variant, density=None)
            else:
                made = generator.program(seed, found.features - blamed)
                found = Subject(made.wasm, made.calls, made.features, made.text)


def variant_of(seed: int) -> Variant:
    """How to try a program."""
    chance = random.Random(seed + 1)
    return Variant(
        seed=seed,
        density=chance.choice((None, None, 0.0, 0.05, 0.2)),
        small_loop=chance.choice((0, 6, 40, 256)),
        nest=chance.random() < 0.3,
        moving=chance.choice((0.0, 0.3, 1.0)),
        frames=chance.choice(list(Frames)),
        twins=chance.random() < 0.2,
    )


# -- runs -----------------------------------------------------------------------------------------


def plainly(module: Any, name: str, arguments: list[Value]) -> str:
    """What a call does without us."""
    store, host = Store(), Host(None)
    instance: Instance | None = None
    try:
        externs = [host.function(store, entry.name or "") for entry in module.imports]
        instance = store.instantiate(module, externs)
        result = told(instance.call(name, arguments))
    except Failed as failed:
        result = failed.reason
    return f"{result} {seen(instance)}"


def told(values: list[Value]) -> str:
    """Results as text; a reference is the same wherever it is."""
    return " ".join(
        f"{v.kind}:{v.bits is None}" if v.kind.endswith("ref") else str(v) for v in values
    )


def seen(instance: Instance | None, hidden: int = 0) -> str:
    """What everybody can see of an instance; ``hidden`` bytes of its first memory are not its."""
    if instance is None:
        return ""
    found = []
    first = instance.memory("arts.memory.0").address if "arts.memory.0" in instance.exports else 0
    for name, extern in sorted(instance.exports.items()):
        if name.startswith("arts."):
            continue
        if extern.kind == GLOBAL:
            found.append(f"{name}={told([instance.get(name)])}")
        elif extern.kind == MEMORY:
            is_first = first == instance.memory(name).address
            found.append(f"{name}={digest(instance, name, hidden if is_first else 0)}")
        elif extern.kind == TABLE:
            found.append(f"{name}={instance.table(name).size}")
    return " ".join(found)


def digest(instance: Instance, name: str, hidden: int) -> str:
    """Size and content of a memory, but for its end."""
    view = instance.memory(name).view()
    content = bytes(view[: len(view) - hidden])
    return f"{len(content)} {hashlib.sha256(content).hexdigest()[:12]}"


def inside(guest: Guest) -> str:
    """What only a host of prepared programs can see, too."""
    described, instance = guest.program.description, guest.instance
    found = [told([instance.get(f"arts.global.{n}")]) for n, _ in described["globals"]]
    found += [
        digest(instance, f"arts.memory.{number}", 0 if number else hidden(guest))
        for number in range(described["memories"])
    ]
    return " ".join(found)


def hidden(guest: Guest) -> int:
    """Bytes of the first memory that hold frames."""
    pages: int = guest.program.description["framesPages"] if guest.program.primary else 0
    return pages * 65536


def prepared_run(
    program: Program, name: str, arguments: list[Value], tally: Tally, pace: "Pace"
) -> tuple[str, str]:
    """What a call does, (to all, inside)."""
    host = Host(pace.chance)
    guest: Guest | None = None
    try:
        fresh = Guest(program, host.imports)
        guest, _ = _finish(fresh, begin, pace, host, tally)
        guest, results = _finish(guest, lambda it: it.call(name, arguments), pace, host, tally)
        result = told(results)
    except Failed as failed:
        result = failed.reason
        if guest is not None and isinstance(failed, _FailedIn):
            guest = failed.guest
    if guest is None:
        return f"{result} ", ""
    return f"{result} {seen(guest.instance, hidden(guest))}", inside(guest)


class _FailedIn(Failed):
    def __init__(self, guest: Guest, reason: str) -> None:
        super().__init__(reason)
        self.guest = guest


class Pace:
    """When to pause, and whether to move then. Without a variant never; then it learns how far a
    run goes.
    """

    def __init__(self, variant: Variant | None = None, polls: int = 0) -> None:
        self.chance = random.Random(variant.seed) if variant else None
        self.moving = variant.moving if variant else 0.0
        self.usual = max(1, 2 * polls // PAUSES)
        self.pauses = 0
        self.polls = 0

    @property
    def exhausted(self) -> bool:
        """Whether it has been paused often enough."""
        return self.pauses > 4 * PAUSES

    def next(self) -> int:
        """The distance to the next pause."""
        if self.chance is None or self.exhausted:
            return 0
        return 1 if self.chance.random() < 0.2 else self.chance.randint(1, self.usual)

    def moves(self) -> bool:
        """Whether to move at this pause."""
        self.pauses += 1
        assert self.chance is not None, "parked without a reason"
        return self.chance.random() < self.moving


def _finish(
    guest: Guest, call: Any, pace: Pace, host: Host, tally: Tally
) -> tuple[Guest, list[Value]]:
    """All turns of a call."""
    try:
        guest.pause_at(pace.next())
        results = call(guest)
        while results is None:
            tally.pauses += 1
            if pace.moves():
                guest = Guest.restore(guest.program, guest.capture(), host.imports)
                tally.moves += 1
            guest.pause_at(pace.next())
            results = guest.go_on()
        pace.polls += guest.passed
    except Failed as failed:
        pace.polls += guest.passed
        raise _FailedIn(guest, failed.reason) from None
    return guest, results


def compare(found: Subject, program: Program, variant: Variant, tally: Tally) -> None:
    """Run all calls in all ways. Raises Difference, or whatever goes wrong."""
    module = None if "legacy" in found.features else compiled(found.wasm)
    for name, arguments in found.calls:
        straight = Pace()
        unpaused, unpaused_inside = prepared_run(program, name, arguments, tally, straight)
        plain = plainly(module, name, arguments) if module else unpaused
        if any(limit in plain + unpaused for limit in LIMITS):
            tally.outcomes["a limit of the engine"] += 1
            continue
        if variant.frames is Frames.PRIMARY and "out of bounds memory" in plain:
            # Behind its memory such a program finds frames instead of a trap.
            tally.outcomes["a call that primary frames change"] += 1
            continue
        if plain != unpaused:
            raise Difference(f"{name}: prepared, not paused\n  {plain}\n  {unpaused}")
        pace = Pace(variant, straight.polls)
        paused, paused_inside = prepared_run(program, name, arguments, tally, pace)
        if any(limit in paused for limit in LIMITS):
            tally.outcomes["a limit of the engine"] += 1
            continue
        if plain != paused:
            raise Difference(f"{name}: paused\n  {plain}\n  {paused}")
        if unpaused_inside != paused_inside:
            raise Difference(f"{name}: inside\n  {unpaused_inside}\n  {paused_inside}")
        ended = "trapped or threw" if plain.split(" ")[0][:4] in ("trap", "exce") else "returned"
        tally.outcomes[f"a call {ended}"] += 1


def check(seed: int, wasm: bytes | None = None) -> Tally:
    """Everything about a seed. Raises Difference, or whatever goes wrong."""
    tally, variant = Tally(), variant_of(seed)
    try:
        if wasm is None:
            found, program = prepared(seed, variant, tally.refusals)
        else:
            found = replace(subject(seed), wasm=wasm)
            program = variant.program(wasm)
    except Refused:
        tally.outcomes["refused"] += 1
        return tally
    compare(found, program, variant, tally)
    tally.outcomes["modules"] += 1
    tally.features.update(found.features)
    return tally
