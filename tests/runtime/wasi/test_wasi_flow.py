"""What flows through a module: input, output, channels, signals, time; and the waiting for it."""

import struct
import threading
import time

import pytest
from wasi_guest import BUFFER, CHANNELS, RESULT, SCRATCH, Guest

from arts.errors import EngineError, SnapshotError
from arts.model import ChannelSpec
from runtime.engines.base import Wait
from runtime.wasi.fd_calls import MAX_OUTPUT
from runtime.wasi.host import Exit, WouldBlock
from runtime.wasi.preview1 import (
    ABSTIME,
    EVENT_CLOCK,
    EVENT_FD_READ,
    EVENT_FD_WRITE,
    FDFLAG_NONBLOCK,
    RIGHT_FD_READ,
    RIGHT_FD_WRITE,
    Errno,
)
from runtime.wasi.streams import MAX_LINE

SECOND = 1_000_000_000


@pytest.fixture
def guest() -> Guest:
    return Guest()


def blocked(guest: Guest, name: str, *arguments: int) -> Wait:
    """Make a call that must wait; what it waits for."""
    with pytest.raises(WouldBlock) as caught:
        guest.errno(name, *arguments)
    return caught.value.wait


# ---------------------------------------------------------------------------- stdin


def test_stdin_is_lines(guest: Guest) -> None:
    guest.put(SCRATCH, struct.pack("<II", BUFFER, 10))
    assert blocked(guest, "fd_read", 0, SCRATCH, 1, RESULT) == Wait(inputs=frozenset({"stdin"}))
    guest.wasi.deliver("stdin", b"no newline", 1)
    guest.wasi.deliver("stdin", b"newline\n", 2)
    guest.wasi.deliver("stdin", b"", None)
    assert guest.read(0, 4) == b"no n"
    assert guest.receipts() == []
    assert guest.read(0) == b"ewline\n"
    assert guest.receipts() == [1]
    assert guest.read(0) == b"newline\n"
    assert guest.read(0) == b"\n"
    guest.wasi.end_input("stdin")
    assert guest.read(0) == b""
    assert guest.write(0, b"x") == Errno.SPIPE


def test_reading_nothing_never_waits(guest: Guest) -> None:
    assert guest.read(0, 0) == b""
    guest.wasi.deliver("stdin", b"x", 1)
    assert guest.read(0, 0) == b""
    assert guest.read(0) == b"x\n"


def test_a_message_that_is_read_in_part_travels_in_part(guest: Guest) -> None:
    guest.wasi.deliver("stdin", b"hello", 1)
    guest.wasi.deliver("stdin", b"left to the broker", 2)
    guest.wasi.deliver("stdin", b"unknown to the broker", None)
    assert guest.read(0, 2) == b"he"
    guest.move(carry=(1,))
    assert guest.read(0) == b"llo\n"
    assert guest.read(0) == b"unknown to the broker\n"
    assert guest.receipts() == []


def test_capturing_takes_nothing_away(guest: Guest) -> None:
    guest.wasi.deliver("stdin", b"hello", 1)
    guest.read(0, 2)
    guest.wasi.capture(())
    assert guest.read(0) == b"llo\n"
    assert guest.receipts() == [1]


def test_what_was_begun_and_is_left_behind_begins_anew(guest: Guest) -> None:
    guest.wasi.deliver("stdin", b"first", 1)
    guest.wasi.deliver("stdin", b"second", None)
    guest.read(0, 3)
    guest.move()
    assert guest.read(0) == b"second\n"


# ---------------------------------------------------------------------------- stdout


def test_output_is_reported_by_line(guest: Guest) -> None:
    guest.write(1, b"one\ntw", b"o\nthr")
    guest.write(2, b"error\n")
    assert guest.lines() == [b"one", b"two"]
    assert guest.lines("stderr") == [b"error"]
    guest.move()
    guest.write(1, b"ee\n\n")
    assert guest.lines() == [b"one", b"two", b"three", b""]
    guest.write(1, b"rest")
    guest.wasi.outputs.flush()
    guest.wasi.outputs.flush()
    assert guest.lines()[4:] == [b"rest"]


def test_long_lines_are_split(guest: Guest) -> None:
    for part in (b"x" * MAX_LINE, b"x" * MAX_LINE, b"xxxxx"):
        guest.write(1, part)
    assert [len(line) for line in guest.lines()] == [MAX_LINE, MAX_LINE]
    guest.write(1, b"\n" + b"y" * 60_000)
    guest.write(1, b"y" * 6_000 + b"\n")
    assert [len(line) for line in guest.lines()[2:]] == [5, MAX_LINE, 66_000 - MAX_LINE]


def test_a_call_takes_a_bounded_amount_of_output(guest: Guest) -> None:
    guest.put(SCRATCH, struct.pack("<II", *guest.put(BUFFER, b"\n" * 100_000)))
    guest.call("fd_write", 1, SCRATCH, 1, RESULT)
    assert guest.u32() == len(guest.lines()) == MAX_OUTPUT


def stand_still(guest: Guest, at: int) -> None:
    """Stop the module's monotonic clock."""
    guest.wasi.clocks.monotonic = lambda: at  # type: ignore[method-assign]


def test_output_has_a_rate() -> None:
    guest = Guest(rate=1000)
    stand_still(guest, SECOND)
    assert guest.write(1, b"x" * 1500) == Errno.SUCCESS
    guest.put(SCRATCH, struct.pack("<II", *guest.put(BUFFER, b"more")))
    wait = blocked(guest, "fd_write", 1, SCRATCH, 1, RESULT)
    assert wait.deadline == guest.wasi.clocks.host_time(SECOND + 550_000_000)
    assert guest.poll((EVENT_FD_WRITE, 0, 0, 0)) == [(0, 0, 2, 1)]
    with pytest.raises(WouldBlock):
        guest.poll((EVENT_FD_WRITE, 1, 0, 0))
    guest.move()
    stand_still(guest, SECOND + 490_000_000)
    with pytest.raises(WouldBlock):
        guest.write(1, b"more")
    stand_still(guest, SECOND + 550_000_000)
    assert guest.write(1, b"more") == Errno.SUCCESS


def test_nonblocking_output_above_its_rate() -> None:
    guest = Guest(rate=10)
    stand_still(guest, SECOND)
    guest.write(1, b"x" * 100)
    guest.call("fd_fdstat_set_flags", 1, FDFLAG_NONBLOCK)
    assert guest.write(1, b"x") == Errno.AGAIN


# ---------------------------------------------------------------------------- channels


def test_one_read_is_one_message(guest: Guest) -> None:
    fd = guest.open("ch/in", rights=RIGHT_FD_READ)
    guest.put(SCRATCH, struct.pack("<II", BUFFER, 10))
    assert blocked(guest, "fd_read", fd, SCRATCH, 1, RESULT).inputs == {"/ch/in"}
    for receipt, payload in enumerate((b"one", b"", b"three\n")):
        guest.wasi.deliver("/ch/in", payload, receipt)
    guest.wasi.deliver("/ch/in", b"", None)
    assert guest.receipts() == [1]
    assert guest.read(fd) == b"one"
    guest.move(carry=(2,))
    assert guest.read(fd) == b"three\n"
    assert guest.receipts() == [1, 0]
    assert guest.wasi.inputs.taken == 1


def test_a_message_fills_several_buffers(guest: Guest) -> None:
    fd = guest.open("ch/in", rights=RIGHT_FD_READ)
    guest.wasi.deliver("/ch/in", b"abcdef", None)
    guest.put(SCRATCH, struct.pack("<IIII", BUFFER, 2, BUFFER + 10, 9))
    guest.call("fd_read", fd, SCRATCH, 2, RESULT)
    assert guest.u32() == 6
    assert guest.memory[BUFFER : BUFFER + 2] + guest.memory[BUFFER + 10 : BUFFER + 14] == b"abcdef"


def test_one_write_is_one_message(guest: Guest) -> None:
    fd = guest.open("ch/out", rights=RIGHT_FD_WRITE)
    guest.write(fd, b"a", b"", b"b")
    guest.write(fd, b"")
    assert guest.written() == [("/ch/out", b"ab"), ("/ch/out", b"")]
    guest.put(SCRATCH, struct.pack("<IIIIII", *(BUFFER, 512 << 10) * 3))
    assert guest.errno("fd_write", fd, SCRATCH, 3, RESULT) == Errno.MSGSIZE
    assert len(guest.written()) == guest.wasi.written == 2


def test_back_pressure(guest: Guest) -> None:
    fd = guest.open("ch/deep/both")
    guest.wasi.set_writable(False)
    guest.put(SCRATCH, struct.pack("<II", *guest.put(BUFFER, b"x")))
    wait = blocked(guest, "fd_write", fd, SCRATCH, 1, RESULT)
    assert wait == Wait(output=True)
    assert not guest.wasi.ready(wait, 0.0)
    with pytest.raises(WouldBlock):
        guest.poll((EVENT_FD_WRITE, fd, 0, 0))
    guest.call("fd_fdstat_set_flags", fd, FDFLAG_NONBLOCK)
    assert guest.write(fd, b"x") == Errno.AGAIN
    assert guest.written() == []
    guest.wasi.set_writable(True)
    assert guest.wasi.ready(wait, 0.0)
    assert guest.write(fd, b"x") == Errno.SUCCESS


def test_modes_are_kept(guest: Guest) -> None:
    assert guest.open_errno("ch/in", 0, RIGHT_FD_WRITE) == Errno.ACCES
    assert guest.open_errno("ch/out", 0, RIGHT_FD_READ) == Errno.ACCES
    assert guest.open_errno("sys/signals", 0, RIGHT_FD_WRITE) == Errno.ACCES
    assert guest.open_errno("ch/none", 0, RIGHT_FD_READ) == Errno.NOENT
    fd = guest.open("ch/in", rights=RIGHT_FD_READ)
    assert guest.write(fd, b"x") == Errno.BADF
    assert guest.listing("ch") == [".", "..", "deep", "in", "out"]


def test_channels_that_cannot_be() -> None:
    twice = (ChannelSpec("/ch/a", "t"), ChannelSpec("/ch/a", "t"))
    below = (ChannelSpec("/ch/a", "t"), ChannelSpec("/ch/a/b", "t"))
    not_text = (ChannelSpec("/ch/\ud800", "t"),)
    for channels in (twice, below, not_text):
        with pytest.raises(EngineError, match="there can be no channel"):
            Guest(channels=channels)


def test_arguments_that_cannot_be() -> None:
    for fields in ({"args": ("a\0b",)}, {"env": ("A=\ud800",)}):
        with pytest.raises(EngineError):
            Guest(**fields)


def test_a_snapshot_with_channels_that_the_module_has_not(guest: Guest) -> None:
    guest.spec = Guest(channels=CHANNELS[:1]).spec
    with pytest.raises(SnapshotError, match="/ch/deep/both"):
        guest.move()


# ---------------------------------------------------------------------------- signals


def test_signals_are_lines(guest: Guest) -> None:
    assert not guest.wasi.listens
    fd = guest.open("sys/signals", rights=RIGHT_FD_READ)
    guest.wasi.signal("HUP")
    guest.move()
    assert guest.wasi.listens
    guest.wasi.signal("TERM")
    assert guest.read(fd) == b"HUP\n"
    assert guest.read(fd) == b"TERM\n"


def test_signals_that_nobody_reads_are_bounded(guest: Guest) -> None:
    for _ in range(1000):
        guest.wasi.signal("HUP")
    assert guest.wasi.inputs.depth("/sys/signals") == 64


# ---------------------------------------------------------------------------- time


def test_clocks(guest: Guest) -> None:
    readings = []
    for clock in (0, 1, 2, 3):
        guest.call("clock_time_get", clock, 0, RESULT)
        readings.append(guest.u64())
        guest.call("clock_res_get", clock, RESULT)
        assert guest.u64() == 1000
    assert abs(readings[0] - time.time_ns()) < 10 * SECOND
    assert readings[1] < 10 * SECOND
    assert guest.errno("clock_time_get", 4, 0, RESULT) == Errno.INVAL
    assert guest.errno("clock_res_get", 4, RESULT) == Errno.INVAL


def test_monotonic_time_stands_while_it_is_data(guest: Guest) -> None:
    data = guest.wasi.capture(())
    captured = guest.wasi.clocks.monotonic()
    time.sleep(0.02)
    restored = type(guest.wasi).restore(data, guest.spec, print, lambda: memoryview(b""))
    assert restored.clocks.monotonic() - captured < 0.02 * SECOND


def test_cpu_time_is_that_of_its_turns(guest: Guest) -> None:
    clocks = guest.wasi.clocks
    assert clocks.cpu() == 0
    clocks.begin_turn()
    while clocks.cpu() < 1000:
        pass
    assert clocks.used() == 0
    clocks.end_turn()
    used = clocks.used()
    assert used >= 1000
    guest.move()
    assert guest.wasi.clocks.used() == guest.wasi.clocks.cpu() == used


def test_a_relative_timeout_counts_from_the_first_try(guest: Guest) -> None:
    subscription = (EVENT_CLOCK, 1, SECOND, 0)
    stand_still(guest, 5 * SECOND)
    with pytest.raises(WouldBlock) as caught:
        guest.poll(subscription)
    assert caught.value.wait.deadline == guest.wasi.clocks.host_time(6 * SECOND)
    guest.move()
    stand_still(guest, 6 * SECOND - 1)
    with pytest.raises(WouldBlock) as caught:
        guest.poll(subscription)
    assert caught.value.wait.deadline == guest.wasi.clocks.host_time(6 * SECOND)
    stand_still(guest, 6 * SECOND)
    assert guest.poll(subscription) == [(0, 0, EVENT_CLOCK, 0)]
    with pytest.raises(WouldBlock) as caught:
        guest.poll(subscription)
    assert caught.value.wait.deadline == guest.wasi.clocks.host_time(7 * SECOND)


@pytest.mark.parametrize("clock", [0, 1])
def test_an_absolute_timeout(guest: Guest, clock: int) -> None:
    guest.call("clock_time_get", clock, 0, RESULT)
    now = guest.u64()
    assert guest.poll((EVENT_CLOCK, clock, now, ABSTIME)) == [(0, 0, EVENT_CLOCK, 0)]
    with pytest.raises(WouldBlock) as caught:
        guest.poll((EVENT_CLOCK, clock, now + 60 * SECOND, ABSTIME))
    assert caught.value.wait.deadline is not None
    assert abs(caught.value.wait.deadline - time.monotonic() - 60) < 5


def test_polling_for_several_things(guest: Guest) -> None:
    wanted = [
        (EVENT_CLOCK, 1, 60 * SECOND, 0),
        (EVENT_CLOCK, 1, 30 * SECOND, 0),
        (EVENT_FD_READ, 0, 0, 0),
        (EVENT_FD_READ, guest.open("ch/in", rights=RIGHT_FD_READ), 0, 0),
    ]
    with pytest.raises(WouldBlock) as caught:
        guest.poll(*wanted)
    wait = caught.value.wait
    assert wait.inputs == {"stdin", "/ch/in"}
    assert wait.deadline is not None
    assert wait.deadline < time.monotonic() + 31
    guest.wasi.deliver("/ch/in", b"hello", None)
    assert guest.wasi.ready(wait, 0.0)
    assert guest.poll(*wanted) == [(3, 0, EVENT_FD_READ, 5)]


def test_polling_for_what_is_always_so_or_never(guest: Guest) -> None:
    file = guest.open("file", 1)
    events = guest.poll(
        (EVENT_FD_READ, file, 0, 0),
        (EVENT_FD_WRITE, file, 0, 0),
        (EVENT_FD_READ, 99, 0, 0),
        (EVENT_CLOCK, 99, 0, 0),
        (9, 0, 0, 0),
    )
    errors = [event[1] for event in events]
    assert errors == [0, 0, Errno.BADF, Errno.INVAL, Errno.INVAL]
    assert guest.errno("poll_oneoff", 0, 0, 0, RESULT) == Errno.INVAL
    assert guest.errno("poll_oneoff", 0, 0, 5000, RESULT) == Errno.INVAL


# ---------------------------------------------------------------------------- blocking a thread


def test_a_thread_that_blocks_is_woken() -> None:
    guest = Guest()
    wait = Wait(inputs=frozenset({"stdin"}))
    thread = threading.Thread(target=lambda: guest.wasi.block(wait, lambda: False))
    thread.start()
    guest.wasi.deliver("stdin", b"x", None)
    thread.join(30)
    assert not thread.is_alive()


def test_a_thread_that_blocks_until_a_deadline(guest: Guest) -> None:
    deadline = time.monotonic() + 0.01
    guest.wasi.block(Wait(deadline=deadline), lambda: False)
    assert time.monotonic() >= deadline


def test_a_thread_that_is_not_wanted_any_more(guest: Guest) -> None:
    guest.wasi.block(Wait(), lambda: True)


# ---------------------------------------------------------------------------- the rest


def test_arguments_and_environment() -> None:
    guest = Guest(args=("a", "größe"), env=("A=1",))
    guest.call("args_sizes_get", RESULT, RESULT + 4)
    assert (guest.u32(), guest.u32(RESULT + 4)) == (3, 16)
    guest.call("args_get", SCRATCH, BUFFER)
    assert bytes(guest.memory[BUFFER : BUFFER + 16]) == "guest\0a\0größe\0".encode()
    assert [guest.u32(SCRATCH + 4 * n) for n in range(3)] == [BUFFER, BUFFER + 6, BUFFER + 8]
    guest.call("environ_sizes_get", RESULT, RESULT + 4)
    assert (guest.u32(), guest.u32(RESULT + 4)) == (1, 4)
    guest.call("environ_get", SCRATCH, BUFFER)
    assert guest.memory[BUFFER : BUFFER + 4] == b"A=1\0"


def test_randomness_goes_on_after_a_move(guest: Guest) -> None:
    twin = Guest()
    twin.wasi = type(guest.wasi).restore(
        guest.wasi.capture(()), guest.spec, print, lambda: memoryview(twin.memory)
    )
    size = 100_000
    for each in (guest, twin):
        each.call("random_get", BUFFER, size)
    assert guest.memory == twin.memory
    first = bytes(guest.memory)
    guest.call("random_get", BUFFER, size)
    assert bytes(guest.memory) != first
    assert len(set(first[BUFFER : BUFFER + size])) == 256
    assert guest.errno("random_get", BUFFER, 1 << 30) == Errno.FAULT


def test_exit_yield_and_what_is_unsupported(guest: Guest) -> None:
    guest.call("sched_yield")
    with pytest.raises(Exit) as caught:
        guest.errno("proc_exit", 7)
    assert caught.value.code == 7
    assert guest.errno("proc_raise", 9) == Errno.NOSYS
    assert guest.errno("sock_shutdown", 0, 0) == Errno.NOSYS
