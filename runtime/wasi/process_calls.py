"""Calls about the process and the world: arguments, environment, clocks, randomness, waiting, end.

Each takes the module's ``Wasi`` and the numbers that the module passed; it returns when it has
succeeded, or raises ``WasiError``, ``WouldBlock`` or ``Exit``.
"""

from typing import NoReturn

from runtime.engines.base import Wait
from runtime.wasi import random
from runtime.wasi.host import Exit, Wasi, WouldBlock
from runtime.wasi.preview1 import (
    ABSTIME,
    EVENT,
    EVENT_CLOCK,
    EVENT_FD_READ,
    EVENT_FD_WRITE,
    SUBSCRIPTION,
    Errno,
    WasiError,
)
from runtime.wasi.state import STDIN, Descriptor, Kind

_CLOCK_RESOLUTION_NS = 1000
_MAX_SUBSCRIPTIONS = 4096


def args_get(wasi: Wasi, pointers: int, content: int) -> None:
    """The arguments."""
    wasi.memory.strings(pointers, content, wasi.state.args)


def args_sizes_get(wasi: Wasi, count: int, size: int) -> None:
    """Number and total size of the arguments."""
    _sizes(wasi, count, size, wasi.state.args)


def environ_get(wasi: Wasi, pointers: int, content: int) -> None:
    """The environment."""
    wasi.memory.strings(pointers, content, wasi.state.env)


def environ_sizes_get(wasi: Wasi, count: int, size: int) -> None:
    """Number and total size of the environment variables."""
    _sizes(wasi, count, size, wasi.state.env)


def _sizes(wasi: Wasi, count: int, size: int, strings: list[bytes]) -> None:
    wasi.memory.write_u32(count, len(strings))
    wasi.memory.write_u32(size, sum(len(string) + 1 for string in strings))


def clock_res_get(wasi: Wasi, clock: int, result: int) -> None:
    """Resolution of a clock."""
    wasi.clocks.read(clock)
    wasi.memory.write_u64(result, _CLOCK_RESOLUTION_NS)


def clock_time_get(wasi: Wasi, clock: int, precision: int, result: int) -> None:
    """Time on a clock."""
    wasi.memory.write_u64(result, wasi.clocks.read(clock))


def random_get(wasi: Wasi, buffer: int, size: int) -> None:
    """Random bytes."""
    wasi.memory.view(buffer, size)
    for chunk in random.stream(wasi.state, size):
        wasi.memory.write(buffer, chunk)
        buffer += len(chunk)


def sched_yield(wasi: Wasi) -> None:
    """Others run anyway."""


def proc_exit(wasi: Wasi, code: int) -> NoReturn:
    """The end."""
    raise Exit(code)


def unsupported(wasi: Wasi, *arguments: int) -> NoReturn:
    """What a module here cannot do: raise process signals, open sockets."""
    raise WasiError(Errno.NOSYS)


# ---------------------------------------------------------------------------- waiting


def poll_oneoff(wasi: Wasi, subscriptions: int, events: int, count: int, result: int) -> None:
    """Wait until at least one of the subscriptions has come true."""
    if not 0 < count <= _MAX_SUBSCRIPTIONS:
        raise WasiError(Errno.INVAL)
    table = bytes(wasi.memory.view(subscriptions, SUBSCRIPTION.size * count))
    room = wasi.memory.view(events, EVENT.size * count)
    wasi.memory.view(result, 4)
    state = wasi.state
    if state.blocked_since is None:
        state.blocked_since = wasi.clocks.monotonic()
    happened, waits = [], []
    for userdata, tag, number, timeout, _, flags in SUBSCRIPTION.iter_unpack(table):
        outcome = _poll(wasi, tag, number, timeout, flags & ABSTIME != 0)
        if isinstance(outcome, Wait):
            waits.append(outcome)
        else:
            errno, available = outcome
            happened.append(EVENT.pack(userdata, errno, tag, available, 0))
    if not happened:
        raise WouldBlock(_any(waits))
    room[: EVENT.size * len(happened)] = b"".join(happened)
    wasi.memory.write_u32(result, len(happened))
    state.blocked_since = None


def _poll(
    wasi: Wasi, tag: int, number: int, timeout: int, absolute: bool
) -> tuple[Errno, int] | Wait:
    """One subscription: what has happened (error, bytes available), or what to wait for."""
    try:
        if tag == EVENT_CLOCK:
            return _poll_clock(wasi, number, timeout, absolute)
        if tag not in (EVENT_FD_READ, EVENT_FD_WRITE):
            return Errno.INVAL, 0
        descriptor = wasi.descriptor(number)
    except WasiError as error:
        return error.errno, 0
    if tag == EVENT_FD_READ:
        return _poll_read(wasi, descriptor)
    wait = output_wait(wasi, descriptor)
    return (Errno.SUCCESS, 1) if wait is None else wait


def _poll_clock(wasi: Wasi, clock: int, timeout: int, absolute: bool) -> tuple[Errno, int] | Wait:
    since = wasi.state.blocked_since
    assert since is not None
    due = wasi.clocks.due(clock, timeout, absolute, since)
    if due <= wasi.clocks.monotonic():
        return Errno.SUCCESS, 0
    return Wait(deadline=wasi.clocks.host_time(due))


def _poll_read(wasi: Wasi, descriptor: Descriptor) -> tuple[Errno, int] | Wait:
    path = input_path(descriptor)
    if path is None:
        return Errno.SUCCESS, 0
    available = wasi.inputs.waiting(path)
    return Wait(inputs=frozenset((path,))) if available is None else (Errno.SUCCESS, available)


def _any(waits: list[Wait]) -> Wait:
    deadlines = [wait.deadline for wait in waits if wait.deadline is not None]
    return Wait(
        deadline=min(deadlines, default=None),
        inputs=frozenset().union(*(wait.inputs for wait in waits)),
        output=any(wait.output for wait in waits),
    )


def input_path(descriptor: Descriptor) -> str | None:
    """The queue that a descriptor reads; None when reading it never waits."""
    if descriptor.kind in (Kind.CHANNEL, Kind.SIGNALS) or descriptor.path == STDIN:
        return descriptor.path
    return None


def output_wait(wasi: Wasi, descriptor: Descriptor) -> Wait | None:
    """What writing to a descriptor must wait for; None when it need not."""
    if descriptor.kind is Kind.CHANNEL:
        return None if wasi.writable else Wait(output=True)
    if descriptor.kind is Kind.STREAM and descriptor.path != STDIN:
        free_at = wasi.outputs.free_at(wasi.clocks.monotonic())
        return None if free_at is None else Wait(deadline=wasi.clocks.host_time(free_at))
    return None
