"""What flows: input that is queued for the module, and output that it writes line by line.

Knows messages, lines and how much output is allowed. Knows no descriptors and no addresses.
Input is queued from other threads while the module reads.
"""

import threading
from collections.abc import Collection
from typing import Final

from runtime.engines.base import Consumed, Listener, OutputLine
from runtime.wasi.state import STDERR, STDIN, STDOUT, Input, Message, State

MAX_LINE: Final = 64 * 1024
"""Longer lines are reported in pieces."""
_BURST: Final = 1.0
"""Seconds of output that may come at once."""
LINE_COST: Final = 256
"""Bytes that a line counts on top of its own: each is a message that the broker confirms."""
_STEP: Final = 0.05
"""Seconds of output that a module over its rate waits for: fewer, longer waits."""
_SECOND: Final = 1_000_000_000


class Inputs:
    """The input queues of ``state``. ``changed``: their lock, and how readers hear of input."""

    def __init__(self, state: State, listener: Listener, changed: threading.Condition) -> None:
        self._inputs, self._listener, self._changed = state.inputs, listener, changed
        self.taken = 0
        """Messages taken in whole."""

    def deliver(self, path: str, payload: bytes, receipt: int | None) -> None:
        """Queue a message. On stdin it is a line of text; elsewhere, one without content cannot
        be told from the end of the input, so it is taken at once."""
        if path == STDIN and not payload.endswith(b"\n"):
            payload += b"\n"
        if payload:
            with self._changed:
                self._of(path).messages.append(Message(payload, receipt))
                self._changed.notify_all()
        elif receipt is not None:
            self._listener(Consumed(receipt))

    def end(self, path: str) -> None:
        """Nothing will come after what is queued."""
        with self._changed:
            self._of(path).ended = True
            self._changed.notify_all()

    def depth(self, path: str) -> int:
        """Messages that are queued."""
        with self._changed:
            return len(self._of(path).messages)

    def waiting(self, path: str) -> int | None:
        """Bytes that one read would get; 0 at the end of the input; None when it must wait."""
        with self._changed:
            queue = self._of(path)
            if queue.messages:
                return len(queue.messages[0].payload) - queue.offset
            return 0 if queue.ended else None

    def take(self, path: str, buffers: list[memoryview]) -> int:
        """Read (part of) one message into the buffers; how many bytes. It must not have to wait."""
        with self._changed:
            queue = self._of(path)
            if not queue.messages:
                return 0
            message, begin = queue.messages[0], queue.offset
            for buffer in buffers:
                part = message.payload[queue.offset : queue.offset + len(buffer)]
                buffer[: len(part)] = part
                queue.offset += len(part)
            taken = queue.offset - begin
            if queue.offset < len(message.payload):
                return taken
            del queue.messages[0]
            queue.offset = 0
        self.taken += 1
        if message.receipt is not None:
            self._listener(Consumed(message.receipt))
        return taken

    def carried(self, carry: Collection[int]) -> dict[str, Input]:
        """The queues as they go along in a snapshot: what nobody will send again."""
        with self._changed:
            return {path: _carried(queue, carry) for path, queue in self._inputs.items()}

    def _of(self, path: str) -> Input:
        return self._inputs.setdefault(path, Input())


def _carried(queue: Input, carry: Collection[int]) -> Input:
    kept = [m for m in queue.messages if m.receipt is None or m.receipt in carry]
    begun = bool(kept) and kept[0] is queue.messages[0]
    return Input(
        messages=[Message(message.payload) for message in kept],
        offset=queue.offset if begun else 0,
        ended=queue.ended,
    )


class Outputs:
    """stdout and stderr of ``state``. ``rate``: bytes per second, None when unlimited."""

    def __init__(self, state: State, listener: Listener, rate: int | None) -> None:
        self._state, self._listener, self._rate = state, listener, rate
        if rate and not state.allowed_at:
            state.allowance = rate * _BURST

    def free_at(self, now: int) -> int | None:
        """None when output is free now, else when it will be. Module's monotonic ns."""
        if not self._rate:
            return None
        state = self._state
        earned = (now - state.allowed_at) * self._rate / _SECOND
        state.allowance = min(state.allowance + earned, self._rate * _BURST)
        state.allowed_at = now
        if state.allowance > 0:
            return None
        return now + int((_STEP - state.allowance / self._rate) * _SECOND)

    def write(self, stream: str, data: bytes) -> None:
        """Take output, and report the lines that are complete."""
        *lines, rest = (self._state.partial.pop(stream, b"") + data).split(b"\n")
        self._state.allowance -= len(data) + LINE_COST * len(lines) if self._rate else 0
        for line in lines:
            self._report(stream, line)
        while len(rest) >= MAX_LINE:
            self._listener(OutputLine(stream, rest[:MAX_LINE]))
            rest = rest[MAX_LINE:]
        if rest:
            self._state.partial[stream] = rest

    def flush(self) -> None:
        """The module has ended: report lines that are not complete."""
        for stream in (STDOUT, STDERR):
            rest = self._state.partial.pop(stream, b"")
            if rest:
                self._report(stream, rest)

    def _report(self, stream: str, line: bytes) -> None:
        for start in range(0, max(len(line), 1), MAX_LINE):
            self._listener(OutputLine(stream, line[start : start + MAX_LINE]))
