"""Pages that need not travel because the target of a move still has them, and names for them. PURE.

A runtime keeps pages of the memories that left it, and knows those with which a program begins. It
names them to the source of a move, which then sends a name wherever the memory has such a page. A
page is known by its content alone: whoever had the module before can be spared it, also when it
comes by a detour, and so can whoever had another module of the program.
"""

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from threading import Lock
from typing import Final

import numpy as np

from arts.errors import SnapshotError
from runtime.snapshot import BLOCK, PAGE, Numbers

NAME: Final = 16
"""Bytes of a name: the first of the sha256 of the page."""
MOST_NAMES: Final = 16384
"""So many are told at most: 256 KiB of names of 1 GiB."""

_PER_PAGE: Final = PAGE // BLOCK
_PLACE: Final = struct.Struct(f"<I{NAME}s")


def name_of(page: bytes) -> bytes:
    """What a page is called everywhere."""
    return hashlib.sha256(page).digest()[:NAME]


def whole_pages(numbers: Numbers, blocks: bytes) -> Iterator[tuple[int, slice, bytes]]:
    """The pages of a memory that is zero but for these blocks: their numbers, which of the blocks
    they have, and their content."""
    pages = numbers // _PER_PAGE
    ends = [*(np.flatnonzero(np.diff(pages)) + 1).tolist(), len(numbers)]
    begin = 0
    for end in ends if len(numbers) else ():
        content = blocks[begin * BLOCK : end * BLOCK]
        if end - begin < _PER_PAGE:
            page = np.zeros((_PER_PAGE, BLOCK), dtype=np.uint8)
            of_page = np.frombuffer(content, dtype=np.uint8).reshape(-1, BLOCK)
            page[numbers[begin:end] % _PER_PAGE] = of_page
            content = page.tobytes()
        yield int(pages[begin]), slice(begin, end), content
        begin = end


def put_names(
    numbers: Numbers, blocks: bytes, offered: Collection[bytes]
) -> tuple[Numbers, bytes, bytes]:
    """The blocks that remain when whatever is ``offered`` is named, and the places that are."""
    kept, places = np.ones(len(numbers), dtype=np.bool_), []
    for number, which, content in whole_pages(numbers, blocks):
        if (name := name_of(content)) in offered:
            places.append(_PLACE.pack(number, name))
            kept[which] = False
    if places:
        numbers = numbers[kept]
        blocks = np.frombuffer(blocks, dtype=np.uint8).reshape(-1, BLOCK)[kept].tobytes()
    return numbers, blocks, b"".join(places)


def check_places(places: bytes, size: int) -> None:
    """Raises ``SnapshotError`` unless they are places of a memory of ``size`` bytes."""
    if len(places) % _PLACE.size or len(places) // _PLACE.size > MOST_NAMES:
        raise SnapshotError("the list of named pages is cut off, or too long")
    if any((number + 1) * PAGE > size for number, _ in _PLACE.iter_unpack(places)):
        raise SnapshotError("named pages lie behind the end of their memory")


def look_up(places: bytes, pages: Mapping[bytes, bytes]) -> Iterator[tuple[Numbers, bytes]]:
    """The blocks of each place that are not zero. Raises ``SnapshotError`` for an unknown name."""
    for number, name in _PLACE.iter_unpack(places):
        if name not in pages:
            raise SnapshotError("a page is named that is not here")
        page = np.frombuffer(pages[name], dtype=np.uint8).reshape(_PER_PAGE, BLOCK)
        there = np.flatnonzero(page.any(axis=1)).astype(np.uint32)
        yield there + np.uint32(number * _PER_PAGE), page[there].tobytes()


def count_places(places: bytes) -> int:
    """How many there are."""
    return len(places) // _PLACE.size


def split_names(names: bytes) -> frozenset[bytes]:
    """The names in a row of them."""
    return frozenset(names[at : at + NAME] for at in range(0, len(names), NAME))


class Pages:
    """Kept pages, the oldest of which make room for new ones. From any thread.

    ``budget``: bytes.
    """

    def __init__(self, budget: int) -> None:
        self._most = budget // PAGE
        self._kept: OrderedDict[bytes, tuple[bytes, str]] = OrderedDict()
        """Name -> page, program (its sha256, hex)."""
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self._kept) * PAGE

    def keep(self, program: str, numbers: Numbers, blocks: bytes) -> None:
        """Keep the pages of a memory that is zero but for these blocks."""
        if not self._most:
            return
        for _, _, content in whole_pages(numbers, blocks):
            name = name_of(content)
            with self._lock:
                self._kept[name] = self._kept.pop(name, (content, program))
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)

    def of(self, program: str) -> dict[bytes, bytes]:
        """Name -> page of what there is of a program, the newest ones. They may go meanwhile."""
        with self._lock:
            found = {name: page for name, (page, of) in self._kept.items() if of == program}
        return dict(list(found.items())[-MOST_NAMES:])
