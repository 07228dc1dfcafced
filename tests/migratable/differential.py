"""The oracle of this package: a program that is paused must behave as one that is not.

Runs a function plainly and with pauses, on every engine feature the programs need, and tells
what could be observed: results, traps, memory, globals. Does not know how pausing works.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import wasmtime

from arts.migratable import Frames, Options, Poll, abi, prepare

from .host import Guest, Program

Imports = dict[tuple[str, str], Callable[..., Any]]


@dataclass(frozen=True)
class Observed:
    """What a run left behind. NaNs compare equal, because values are compared by their text."""

    result: str
    memories: tuple[str, ...]
    globals: tuple[str, ...]


FORMS: dict[str, dict[str, Any]] = {
    "own frames": {},
    "primary frames": {"frames": Frames.PRIMARY},
    "twins": {"twins": True},
    "primary frames and twins": {"frames": Frames.PRIMARY, "twins": True},
}
"""The choices that decide how a program is continued."""


def program(
    wasm: bytes, small_loop: int = 256, nest: bool = False, blocking: Any = None, **form: Any
) -> Program:
    """The program prepared with reproducible pause points."""
    names = frozenset(blocking) if blocking is not None else abi.BLOCKING_IMPORTS
    return Program(prepare(wasm, Options(Poll.COUNTDOWN, nest, names, **form)), small_loop)


def run(
    prepared: Program,
    function: str,
    arguments: Sequence[Any] = (),
    every: int = 0,
    imports: Imports | None = None,
    in_place: bool = True,
    most: int = 100_000,
) -> tuple[Observed, int]:
    """Run a function, pausing at each ``every``-th safepoint (0: never): (observed, pauses).

    Each pause continues in the same instance, or in a new one made from the captured state.
    """
    guest = Guest(prepared, imports=imports)
    guest.entry = function
    pauses = 0
    try:
        guest.pause_at(every)
        while guest.run(*arguments) == "parked":
            pauses += 1
            assert pauses < most, "no progress"
            if in_place:
                guest.link(guest.frames())
            else:
                guest = Guest.restore(prepared, guest.capture(), imports)
            guest.pause_at(every)
        result = repr(guest.result)
    except wasmtime.Trap as trap:
        result = f"trap {trap.trap_code}"
    except wasmtime.WasmtimeError as error:
        result = f"error {str(error).splitlines()[-1]}"
    return observe(guest, result), pauses


def observe(guest: Guest, result: str) -> Observed:
    """What can be seen of a guest."""
    described = guest.program.description
    memories = []
    for number in range(described.memories):
        memory = guest.own(f"{abi.MEMORY_PREFIX}{number}")
        size = memory.data_len(guest.store)
        if number == 0 and described.options.frames is Frames.PRIMARY:
            size = guest.base  # what the program sees of it
        content = bytes(memory.read(guest.store, 0, size))
        memories.append(f"{len(content)} {hashlib.sha256(content).hexdigest()}")
    values = [
        repr(guest.own(f"{abi.GLOBAL_PREFIX}{number}").value(guest.store))
        for number, kind in described.mutable_globals
        if kind != "v128"
    ]
    return Observed(result, tuple(memories), tuple(values))
