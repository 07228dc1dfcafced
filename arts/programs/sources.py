"""Where a program's bytes come from: a search path, or a URL. Does not look into them."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from arts.errors import ProgramError
from arts.log import get_logger

log = get_logger(__name__)

_BLOCK = 256 * 1024


def is_url(filename: str) -> bool:
    """Whether a file name asks for a download."""
    return filename.startswith(("http://", "https://"))


def find_file(filename: str, search_path: Sequence[Path], *, allow_absolute: bool) -> Path | None:
    """The file that ``filename`` means, or None.

    ``counter``, ``counter.wasm`` and ``counter/counter.wasm`` all find the last one. Nothing
    outside the search path is found, be it through ``..`` or a symbolic link.
    """
    try:
        if Path(filename).is_absolute():
            return Path(filename) if allow_absolute and Path(filename).is_file() else None
        return _search(filename.removesuffix(".wasm"), search_path)
    except (OSError, ValueError):  # too long, not readable, a NUL inside: names no file of ours
        return None


def _search(stem: str, search_path: Sequence[Path]) -> Path | None:
    for directory in search_path:
        root = directory.resolve()
        for candidate in (root / f"{stem}.wasm", root / stem / f"{Path(stem).name}.wasm"):
            path = candidate.resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
    return None


async def download(
    url: str,
    *,
    max_bytes: int,
    timeout: float,
    attempts: int,
    backoff: float = 0.25,
    session: aiohttp.ClientSession | None = None,
    redirects: bool = True,
) -> bytes:
    """The bytes at ``url``. Raises ``ProgramError``.

    ``timeout`` (seconds) bounds each of the ``attempts``; ``backoff`` is the first pause between
    them. What will not get better (a 404, too many bytes) is not tried again. ``session`` has
    connections to reuse. Without ``redirects``, being sent elsewhere is an error.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            async with _session(session) as connections:
                return await _fetch(connections, url, max_bytes, timeout, redirects)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = _explain(error, timeout)
            if attempt == attempts or not _may_get_better(error):
                raise ProgramError(f"{url} cannot be downloaded: {reason}") from None
            log.info("program.download_again", url=url, error=reason, attempt=attempt)
        await asyncio.sleep(backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))


@asynccontextmanager
async def _session(
    session: aiohttp.ClientSession | None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """That session, or one for the duration."""
    if session is not None:
        yield session
        return
    async with aiohttp.ClientSession() as own:
        yield own


async def _fetch(
    session: aiohttp.ClientSession, url: str, max_bytes: int, timeout: float, redirects: bool
) -> bytes:
    limit = aiohttp.ClientTimeout(total=timeout)
    async with session.get(
        url, timeout=limit, allow_redirects=redirects, raise_for_status=True
    ) as response:
        if response.status >= 300:
            where = response.headers.get("Location", "another place")
            raise ProgramError(f"{url} leads to {where:.200}, where it is not followed")
        data = bytearray()
        async for block in response.content.iter_chunked(_BLOCK):
            data += block
            if len(data) > max_bytes:
                raise ProgramError(f"{url} is larger than {max_bytes} bytes")
        return bytes(data)


def _may_get_better(error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status >= 500 or error.status in (408, 429)
    return not isinstance(error, aiohttp.InvalidURL)


def _explain(error: Exception, timeout: float) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status} {error.message}"
    if isinstance(error, TimeoutError):
        return f"no end after {timeout:g} s"
    return str(error) or type(error).__name__
