"""ARENA's file store: ``https://host/store/users/{location}/{file}``.

A WebAssembly program is one file there. A Python program is the whole folder around its file: the
store shows a page for each folder that links to what is in it. Whoever writes such pages is not to
be trusted: a link may lead deeper into the folder and nowhere else, and everything is bounded.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp

from arts.errors import ProgramError
from arts.programs.sources import download

_STORE: Final = "/store/users/"
_NAME: Final = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")
_PAGE_BYTES: Final = 1024 * 1024
_AT_ONCE: Final = 4


def is_stored(url: str) -> bool:
    """Whether a URL is one of a file store: then nothing it says leads elsewhere."""
    return _STORE in urlsplit(url).path


def is_python(url: str) -> bool:
    """Whether a URL means a Python program, and so a folder."""
    return urlsplit(url).path.endswith(".py")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a folder may be, and how patient we are. ``timeout``: seconds, of each request;
    the whole folder has ten times as much."""

    max_bytes: int
    timeout: float
    attempts: int
    max_files: int = 500
    max_depth: int = 8


async def fetch_folder(url: str, bounds: Bounds) -> dict[str, bytes]:
    """The files (path -> content) of the folder around the program at ``url``.

    Raises ``ProgramError`` if the program is not in it, or if anything about the folder is not as
    it should be.
    """
    folder, _, entry = url.rpartition("/")
    fetching = _Folder(f"{folder}/", bounds)
    try:
        async with asyncio.timeout(10 * bounds.timeout), asyncio.TaskGroup() as group:
            group.create_task(fetching.read(group, "", 1))
    except TimeoutError:
        raise ProgramError(f"{folder}/ is not here after {10 * bounds.timeout:g} s") from None
    except BaseExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, ProgramError):
                raise error from None
        raise
    finally:
        await fetching.close()
    if unquote(entry) not in fetching.files:
        raise ProgramError(f"{folder}/ has no {unquote(entry)}")
    return fetching.files


class _Folder:
    """A folder on its way here."""

    def __init__(self, root: str, bounds: Bounds) -> None:
        self._root = root
        self._bounds = bounds
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._session = aiohttp.ClientSession()
        self._names = 0
        self._bytes = 0
        self.files: dict[str, bytes] = {}

    async def close(self) -> None:
        """Give the connections back."""
        await self._session.close()

    async def read(self, group: asyncio.TaskGroup, path: str, depth: int) -> None:
        """A folder below the root (``path`` is empty or ends with ``/``), and all that is in it."""
        if depth > self._bounds.max_depth:
            raise ProgramError(
                f"{self._root} is deeper than {self._bounds.max_depth} folders: {path}"
            )
        page = await self._download(self._root + path, _PAGE_BYTES)
        for link in links(self._root + path, page):
            self._names += 1
            if self._names > self._bounds.max_files:
                raise ProgramError(f"{self._root} has more than {self._bounds.max_files} files")
            work = self.read(group, path + link, depth + 1) if link.endswith("/") else None
            group.create_task(work or self._keep(path + link))

    async def _keep(self, path: str) -> None:
        data = await self._download(self._root + path, self._bounds.max_bytes)
        self._bytes += len(data)
        if self._bytes > self._bounds.max_bytes:
            raise ProgramError(f"{self._root} is larger than {self._bounds.max_bytes} bytes")
        self.files[unquote(path)] = data

    async def _download(self, url: str, max_bytes: int) -> bytes:
        async with self._slots:
            return await download(
                url,
                max_bytes=max_bytes,
                timeout=self._bounds.timeout,
                attempts=self._bounds.attempts,
                session=self._session,
                redirects=False,
            )


# ---------------------------------------------------------------------------- pages


class _Anchors(HTMLParser):
    """Collects what a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag."""
        for name, value in attrs if tag == "a" else ():
            if name == "href" and value:
                self.found.append(value.strip())


def links(folder: str, page: bytes) -> list[str]:
    """What a folder's page lists, each once and as it is spelt in a URL; folders end with ``/``.

    Links to the folder itself (sorted otherwise) and to the folders around it are the page's
    navigation. Raises ``ProgramError`` for a page that is none, and for a link to anywhere else.
    """
    anchors = _Anchors()
    text = page.decode("utf-8", errors="replace")
    if "<" not in text:
        raise ProgramError(f"{folder} shows no list of files")
    anchors.feed(text)
    found = dict.fromkeys(_inside(folder, anchors.found))
    for link in found:
        if f"{link}/" in found:
            raise ProgramError(f"{folder} lists {unquote(link)} as a file and as a folder")
    return list(found)


def _inside(folder: str, hrefs: list[str]) -> Iterator[str]:
    here = urlsplit(folder)
    for href in hrefs:
        try:
            there = urlsplit(urljoin(folder, href))
        except ValueError:
            raise ProgramError(f"{folder} links to {href:.100}, which is no URL") from None
        same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
        if same and here.path.startswith(there.path) and there.path.endswith("/"):
            continue  # up, or here in another order
        link = there.path.removeprefix(here.path)
        name = unquote(link.removesuffix("/"))
        inside = same and there.path.startswith(here.path) and not (there.query or there.fragment)
        if not inside or name in (".", "..") or not _NAME.fullmatch(name):
            raise ProgramError(f"{folder} links to {href:.100}, which is not in it")
        yield link
