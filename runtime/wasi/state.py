"""Everything a module's host side remembers, as plain data that can be written down.

Knows the records and their encoding (MessagePack with field names). Knows no call
and no rule: those are in the modules that work on the records.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from arts.errors import SnapshotError

ROOT: Final = 1
"""Inode of ``/``."""
STDIN: Final = "stdin"
STDOUT: Final = "stdout"
STDERR: Final = "stderr"
SIGNALS: Final = "/sys/signals"


class Kind(StrEnum):
    """What an inode or an open descriptor is."""

    FILE = "file"
    DIRECTORY = "directory"
    CHANNEL = "channel"
    SIGNALS = "signals"
    STREAM = "stream"
    """One of the standard three; it has no inode."""


@dataclass(slots=True)
class Inode:
    """Something in the tree of files. Times are nanoseconds since the epoch."""

    kind: Kind
    data: bytearray = field(default_factory=bytearray)
    """Content of a file."""
    entries: dict[str, int] = field(default_factory=dict)
    """Names in a directory -> inode numbers."""
    parent: int = ROOT
    """Of a directory."""
    links: int = 1
    path: str = ""
    """Of a channel: as the module's specification calls it."""
    atime: int = 0
    mtime: int = 0
    ctime: int = 0


@dataclass(slots=True)
class Descriptor:
    """An open file."""

    kind: Kind
    inode: int = 0
    path: str = ""
    """Name of a stream, path of a channel: where its messages go and come from."""
    offset: int = 0
    flags: int = 0
    rights: int = 0
    inheriting: int = 0
    preopened: bool = False


@dataclass(slots=True)
class Message:
    """Undelivered input."""

    payload: bytes
    receipt: int | None = None
    """Of the broker's message; None when nobody will send it again."""


@dataclass(slots=True)
class Input:
    """What waits to be read on a path."""

    messages: list[Message] = field(default_factory=list)
    offset: int = 0
    """Bytes of the first message that have been read."""
    ended: bool = False


@dataclass(slots=True)
class State:
    """The whole host side of one module."""

    args: list[bytes] = field(default_factory=list)
    env: list[bytes] = field(default_factory=list)
    descriptors: dict[int, Descriptor] = field(default_factory=dict)
    inodes: dict[int, Inode] = field(default_factory=dict)
    next_inode: int = ROOT + 1
    inputs: dict[str, Input] = field(default_factory=dict)
    partial: dict[str, bytes] = field(default_factory=dict)
    """Output stream -> what has been written since the last newline."""
    allowance: float = 0.0
    """Bytes of output that are free now; below zero: a debt."""
    allowed_at: int = 0
    """When ``allowance`` was right (module's monotonic ns)."""
    monotonic: int = 0
    """The module's monotonic clock (ns) when it was captured."""
    cpu: int = 0
    """CPU time (ns) used until it was captured."""
    blocked_since: int | None = None
    """When the call that is being repeated was first made (module's monotonic ns)."""
    random_key: bytes = b""
    random_count: int = 0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    """The state as bytes."""
    return _encoder.encode(state)


def decode(data: bytes) -> State:
    """The state of these bytes. Raises ``SnapshotError`` when they are not a consistent one."""
    try:
        state = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SnapshotError(f"the module's host state is malformed: {error}") from None
    if not _consistent(state):
        raise SnapshotError("the module's host state contradicts itself")
    return state


def _consistent(state: State) -> bool:
    """Whether every number that a call would follow leads somewhere, to the right kind."""
    inodes = state.inodes
    root = inodes.get(ROOT)
    if root is None or root.kind is not Kind.DIRECTORY or max(inodes) >= state.next_inode:
        return False
    for inode in inodes.values():
        if not inodes.keys() >= set(inode.entries.values()):
            return False
        parent = inodes.get(inode.parent)
        if parent is None or parent.kind is not Kind.DIRECTORY:
            return False
    return all(
        number >= 0
        and open_file.offset >= 0
        and (
            open_file.kind is Kind.STREAM
            or (inodes.get(open_file.inode) or Inode(Kind.STREAM)).kind is open_file.kind
        )
        for number, open_file in state.descriptors.items()
    )
