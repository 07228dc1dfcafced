"""The module's file system: a tree in memory, bounded, with channels and signals as special files.

Knows paths, inodes and names. Knows no descriptors and no addresses.
"""

from collections.abc import Iterable
from typing import Final

from runtime.wasi.preview1 import Errno, Filetype, WasiError
from runtime.wasi.state import ROOT, Inode, Kind, State

MAX_BYTES: Final = 16 << 20
"""All files together, with something for each name."""
MAX_NAME: Final = 255
_NAME_COST: Final = 1024

FILETYPES: Final = {
    Kind.FILE: Filetype.REGULAR_FILE,
    Kind.DIRECTORY: Filetype.DIRECTORY,
    Kind.CHANNEL: Filetype.CHARACTER_DEVICE,
    Kind.SIGNALS: Filetype.CHARACTER_DEVICE,
    Kind.STREAM: Filetype.CHARACTER_DEVICE,
}


class Tree:
    """The files of ``state``. Methods raise ``WasiError``; times are ns since the epoch."""

    def __init__(self, state: State, max_bytes: int = MAX_BYTES) -> None:
        self._state, self._max_bytes = state, max_bytes
        self._used = sum(
            len(inode.data) + _NAME_COST * max(inode.links, 1) for inode in state.inodes.values()
        )

    # ------------------------------------------------------------------------ finding

    def inode(self, number: int) -> Inode:
        """The inode with this number."""
        return self._state.inodes[number]

    def lookup(self, base: int, path: str) -> int:
        """Number of the inode at ``path``, seen from directory ``base``."""
        number = base
        for part in _parts(path):
            number = self._step(number, part)
        if path.endswith("/"):
            self._directory(number)
        return number

    def entry(self, base: int, path: str) -> tuple[int, str, int | None]:
        """Where ``path`` would be: its directory, its last name, and its inode if it exists."""
        parts = _parts(path)
        if not parts or parts[-1] == "..":
            raise WasiError(Errno.INVAL)
        number = base
        for part in parts[:-1]:
            number = self._step(number, part)
        if len(parts[-1].encode()) > MAX_NAME:
            raise WasiError(Errno.NAMETOOLONG)
        return number, parts[-1], self._directory(number).entries.get(parts[-1])

    def _step(self, number: int, part: str) -> int:
        directory = self._directory(number)
        if part == "..":
            if number == ROOT:
                raise WasiError(Errno.NOTCAPABLE)
            return directory.parent
        found = directory.entries.get(part)
        if found is None:
            raise WasiError(Errno.NOENT)
        return found

    def _directory(self, number: int) -> Inode:
        inode = self.inode(number)
        if inode.kind is not Kind.DIRECTORY:
            raise WasiError(Errno.NOTDIR)
        return inode

    # ------------------------------------------------------------------------ changing names

    def create(self, base: int, path: str, kind: Kind, now: int, channel: str = "") -> int:
        """A new inode at ``path``, which must be free; its number."""
        parent, name, found = self.entry(base, path)
        if found is not None:
            raise WasiError(Errno.EXIST)
        self._charge(_NAME_COST)
        number, self._state.next_inode = self._state.next_inode, self._state.next_inode + 1
        self._state.inodes[number] = Inode(
            kind, parent=parent, path=channel, atime=now, mtime=now, ctime=now
        )
        self._add_entry(parent, name, number, now)
        return number

    def create_special(self, path: str, kind: Kind, now: int) -> None:
        """A channel or the signals, at an absolute path; its directories are made on the way."""
        *directories, name = path.strip("/").split("/")
        base = ROOT
        for part in directories:
            found = self._directory(base).entries.get(part)
            base = self.create(base, part, Kind.DIRECTORY, now) if found is None else found
        self.create(base, name, kind, now, path)

    def link(self, number: int, base: int, path: str, now: int) -> None:
        """Give a file another name."""
        if self.inode(number).kind is not Kind.FILE:
            raise WasiError(Errno.PERM)
        directory, name, found = self.entry(base, path)
        if found is not None:
            raise WasiError(Errno.EXIST)
        self._charge(_NAME_COST)
        self._add_entry(directory, name, number, now)
        self.inode(number).links += 1

    def unlink(self, base: int, path: str, now: int) -> None:
        """Take a file's name away; it stays as long as it is open."""
        directory, name, found = self.entry(base, path)
        inode = self._existing(found)
        if inode.kind is Kind.DIRECTORY:
            raise WasiError(Errno.ISDIR)
        if inode.kind is not Kind.FILE:
            raise WasiError(Errno.PERM)
        self._drop_entry(directory, name, now)

    def remove_directory(self, base: int, path: str, now: int) -> None:
        """Remove an empty directory."""
        directory, name, found = self.entry(base, path)
        inode = self._existing(found)
        if inode.kind is not Kind.DIRECTORY:
            raise WasiError(Errno.NOTDIR)
        if inode.entries:
            raise WasiError(Errno.NOTEMPTY)
        self._drop_entry(directory, name, now)

    def rename(self, base: int, path: str, new_base: int, new_path: str, now: int) -> None:
        """Move a file or directory, over what it may replace there."""
        directory, name, number = self.entry(base, path)
        inode = self._existing(number)
        new_directory, new_name, replaced = self.entry(new_base, new_path)
        if inode.kind not in (Kind.FILE, Kind.DIRECTORY):
            raise WasiError(Errno.PERM)
        if replaced == number:
            return
        if inode.kind is Kind.DIRECTORY and self._within(new_directory, inode):
            raise WasiError(Errno.INVAL)
        if replaced is not None:
            self._check_replaceable(inode, self.inode(replaced))
            self._drop_entry(new_directory, new_name, now)
        del self.inode(directory).entries[name]
        self.inode(directory).mtime = now
        assert number is not None
        self._add_entry(new_directory, new_name, number, now)
        if inode.kind is Kind.DIRECTORY:
            inode.parent = new_directory

    def _existing(self, number: int | None) -> Inode:
        if number is None:
            raise WasiError(Errno.NOENT)
        return self.inode(number)

    def _check_replaceable(self, inode: Inode, replaced: Inode) -> None:
        if replaced.kind not in (Kind.FILE, Kind.DIRECTORY):
            raise WasiError(Errno.PERM)
        if inode.kind is Kind.DIRECTORY and replaced.kind is not Kind.DIRECTORY:
            raise WasiError(Errno.NOTDIR)
        if inode.kind is not Kind.DIRECTORY and replaced.kind is Kind.DIRECTORY:
            raise WasiError(Errno.ISDIR)
        if replaced.entries:
            raise WasiError(Errno.NOTEMPTY)

    def _within(self, directory: int, above: Inode) -> bool:
        """Whether ``directory`` is ``above`` or lies below it."""
        for _ in self._state.inodes:  # not for ever, whatever a snapshot said
            if self.inode(directory) is above:
                return True
            directory = self.inode(directory).parent
        return False

    def _add_entry(self, directory: int, name: str, number: int, now: int) -> None:
        found = self.inode(directory)
        if found.links <= 0:
            raise WasiError(Errno.NOENT)
        found.entries[name] = number
        found.mtime = self.inode(number).ctime = now

    def _drop_entry(self, directory: int, name: str, now: int) -> None:
        number = self.inode(directory).entries.pop(name)
        inode = self.inode(number)
        inode.links -= 1
        if inode.links > 0:
            self._used -= _NAME_COST
        inode.parent = ROOT
        inode.ctime = self.inode(directory).mtime = now
        self.forget_unused((number,))

    # ------------------------------------------------------------------------ content

    def forget_unused(self, numbers: Iterable[int]) -> None:
        """Drop those inodes that have neither a name nor a descriptor."""
        opened = {descriptor.inode for descriptor in self._state.descriptors.values()}
        for number in numbers:
            inode = self._state.inodes.get(number)
            if inode is not None and inode.links <= 0 and number not in opened:
                self._used -= _NAME_COST + len(inode.data)
                del self._state.inodes[number]

    def write(self, inode: Inode, offset: int, data: bytes, now: int) -> None:
        """Put data into a file; a gap before it is filled with zeros."""
        if offset + len(data) > len(inode.data):
            self.resize(inode, offset + len(data), now)
        inode.data[offset : offset + len(data)] = data
        inode.mtime = now

    def resize(self, inode: Inode, size: int, now: int) -> None:
        """Cut a file off, or let it grow with zeros."""
        growth = size - len(inode.data)
        self._charge(growth)
        if growth > 0:
            inode.data += bytes(growth)
        else:
            del inode.data[size:]
        inode.mtime = now

    def _charge(self, size: int) -> None:
        if self._used + size > self._max_bytes:
            raise WasiError(Errno.NOSPC)
        self._used += size


def _parts(path: str) -> list[str]:
    """The names in a path; absolute paths are not capabilities."""
    if path.startswith("/"):
        raise WasiError(Errno.NOTCAPABLE)
    if not path:
        raise WasiError(Errno.NOENT)
    return [part for part in path.split("/") if part not in ("", ".")]
