"""The host side of one module: its state, and what works on it, in one place.

Calls (``runtime.wasi.calls``) get a ``Wasi`` and change it; engines make one, feed it and capture
it. Knows no engine. ``deliver``, ``end_input``, ``signal``, ``set_writable`` and ``ready`` may be
called from any thread while the module runs.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from arts.errors import EngineError, SnapshotError
from runtime.engines.base import ChannelWrite, InstanceSpec, Listener, Wait
from runtime.wasi import random, state
from runtime.wasi.clocks import Clocks
from runtime.wasi.files import Tree
from runtime.wasi.memory import GuestMemory
from runtime.wasi.preview1 import (
    ALL_RIGHTS,
    STREAM_RIGHTS,
    Errno,
    WasiError,
)
from runtime.wasi.state import (
    ROOT,
    SIGNALS,
    STDERR,
    STDIN,
    STDOUT,
    Descriptor,
    Inode,
    Kind,
    State,
)
from runtime.wasi.streams import Inputs, Outputs

_MAX_SIGNALS: Final = 64
MAX_DESCRIPTORS: Final = 1024

Look = Callable[[], memoryview]


class WouldBlock(Exception):
    """The call cannot go on now; it is to be made again when ``wait`` is over."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait)
        self.wait = wait


class Exit(Exception):
    """The module asked to end."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Wasi:
    """What a module sees of the world. ``look`` returns its memory as it is now.

    Make it with ``start`` or ``restore``.
    """

    def __init__(
        self,
        found: State,
        spec: InstanceSpec,
        listener: Listener,
        look: Look,
    ) -> None:
        self.state = found
        self.memory = GuestMemory(look)
        self.clocks = Clocks(found)
        self.tree = Tree(found)
        self.changed = threading.Condition()
        """Something came for the module, from another thread."""
        self.inputs = Inputs(found, listener, self.changed)
        self.outputs = Outputs(found, listener, spec.limits.output_bytes_per_second or None)
        self.modes = {channel.path: channel.mode for channel in spec.channels}
        self.written = 0
        """Messages written to channels."""
        self._listener = listener
        self._writable = True

    @classmethod
    def start(cls, spec: InstanceSpec, listener: Listener, look: Look) -> "Wasi":
        """For a new module. Raises ``EngineError`` when ``spec`` cannot be met."""
        now = time.time_ns()
        fresh = State(
            args=[_c_string(text) for text in (spec.name, *spec.args)],
            env=[_c_string(text) for text in spec.env],
            inodes={ROOT: Inode(Kind.DIRECTORY, atime=now, mtime=now, ctime=now)},
            random_key=random.new_key(),
        )
        for number, stream in enumerate((STDIN, STDOUT, STDERR)):
            fresh.descriptors[number] = Descriptor(Kind.STREAM, path=stream, rights=STREAM_RIGHTS)
        fresh.descriptors[3] = Descriptor(
            Kind.DIRECTORY, ROOT, rights=ALL_RIGHTS, inheriting=ALL_RIGHTS, preopened=True
        )
        wasi = cls(fresh, spec, listener, look)
        wasi.tree.create_special(SIGNALS, Kind.SIGNALS, now)
        for channel in spec.channels:
            try:
                wasi.tree.create_special(channel.path, Kind.CHANNEL, now)
            except (WasiError, UnicodeEncodeError) as error:
                raise EngineError(f"there can be no channel {channel.path!r}: {error}") from None
        return wasi

    @classmethod
    def restore(cls, data: bytes, spec: InstanceSpec, listener: Listener, look: Look) -> "Wasi":
        """For a module that goes on. Raises ``SnapshotError``."""
        found = state.decode(data)
        paths = {inode.path for inode in found.inodes.values() if inode.kind is Kind.CHANNEL}
        unknown = paths - {channel.path for channel in spec.channels}
        if unknown:
            raise SnapshotError(f"the snapshot has a channel {min(unknown)}, the module has not")
        return cls(found, spec, listener, look)

    # ------------------------------------------------------------------------ from outside

    def deliver(self, path: str, payload: bytes, receipt: int | None) -> None:
        """Queue a message for stdin or a channel."""
        self.inputs.deliver(path, payload, receipt)

    def end_input(self, path: str) -> None:
        """Nothing comes on ``path`` after what is queued."""
        self.inputs.end(path)

    @property
    def listens(self) -> bool:
        """Whether the signals are open."""
        descriptors = tuple(self.state.descriptors.values())  # at once: the module may be running
        return any(descriptor.kind is Kind.SIGNALS for descriptor in descriptors)

    def signal(self, name: str) -> None:
        """Queue a line for readers of the signals; too many that nobody reads are dropped."""
        if self.inputs.depth(SIGNALS) < _MAX_SIGNALS:
            self.inputs.deliver(SIGNALS, name.encode() + b"\n", None)

    def set_writable(self, writable: bool) -> None:
        """Whether channels may be written."""
        with self.changed:
            self._writable = writable
            self.changed.notify_all()

    @property
    def writable(self) -> bool:
        """Whether channels may be written."""
        return self._writable

    def ready(self, wait: Wait, now: float) -> bool:
        """Whether what is waited for has come; ``now``: the host's ``time.monotonic()``."""
        return (
            (wait.deadline is not None and now >= wait.deadline)
            or (wait.output and self._writable)
            or any(self.inputs.waiting(path) is not None for path in wait.inputs)
        )

    def block(self, wait: Wait, cancelled: Callable[[], bool]) -> None:
        """Wait on this thread until ``wait`` is over or ``cancelled()`` (notify ``changed``)."""
        with self.changed:
            while not cancelled():
                now = time.monotonic()
                if self.ready(wait, now):
                    return
                self.changed.wait(None if wait.deadline is None else wait.deadline - now)

    def capture(self, carry: Collection[int]) -> bytes:
        """The state as bytes; with the input that has no receipt, or one in ``carry``."""
        captured = replace(
            self.state,
            inputs=self.inputs.carried(carry),
            monotonic=self.clocks.monotonic(),
            cpu=self.clocks.cpu(),
        )
        return state.encode(captured)

    # ------------------------------------------------------------------------ for calls

    def descriptor(self, fd: int, right: int = 0) -> Descriptor:
        """An open descriptor with at least this right."""
        found = self.state.descriptors.get(fd)
        if found is None:
            raise WasiError(Errno.BADF)
        if right & ~found.rights:
            raise WasiError(Errno.BADF if found.kind is not Kind.DIRECTORY else Errno.NOTCAPABLE)
        return found

    def directory(self, fd: int) -> int:
        """Inode number of an open directory."""
        found = self.descriptor(fd)
        if found.kind is not Kind.DIRECTORY:
            raise WasiError(Errno.NOTDIR)
        return found.inode

    def file(self, fd: int, right: int = 0) -> tuple[Descriptor, Inode]:
        """An open file and its inode; other kinds have no content and no position."""
        found = self.descriptor(fd, right)
        if found.kind is Kind.DIRECTORY:
            raise WasiError(Errno.ISDIR)
        if found.kind is not Kind.FILE:
            raise WasiError(Errno.SPIPE)
        return found, self.tree.inode(found.inode)

    def open(self, descriptor: Descriptor) -> int:
        """The lowest free number, now open."""
        descriptors = self.state.descriptors
        if len(descriptors) >= MAX_DESCRIPTORS:
            raise WasiError(Errno.MFILE)
        number = next(n for n in range(len(descriptors) + 1) if n not in descriptors)
        descriptors[number] = descriptor
        return number

    def close(self, fd: int) -> None:
        """Close a descriptor; a file without a name is gone with its last one."""
        self.descriptor(fd)
        self.tree.forget_unused((self.state.descriptors.pop(fd).inode,))

    def publish(self, path: str, payload: bytes) -> None:
        """Write a message to a channel."""
        self.written += 1
        self._listener(ChannelWrite(path, payload))


def _c_string(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise EngineError(f"{text!r} is not text that can be an argument or variable") from None
    if b"\0" in encoded:
        raise EngineError("an argument or environment variable contains a zero byte")
    return encoded
