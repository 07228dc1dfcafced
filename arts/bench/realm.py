"""A realm of its own for each benchmark: real processes, a real broker, a store on a real disk."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from arts.cli.local_realm import LocalRealm, RealmPlan, local_realm


@asynccontextmanager
async def bench_realm(
    *,
    broker: str,
    runtimes: int,
    synchronous: str = "normal",
    runtime_arguments: tuple[str, ...] = (),
) -> AsyncIterator[LocalRealm]:
    """The realm for the duration. Its files are below the working directory, not on a RAM disk."""
    with _folder() as folder:
        config = _config(folder, synchronous)
        plan = RealmPlan(
            data_dir=folder,
            realm="bench",
            broker=broker,
            port=0,
            runtimes=runtimes,
            config=config,
            runtime_arguments=runtime_arguments,
        )
        async with local_realm(plan, lambda line: None) as realm:
            yield realm


@contextmanager
def _folder() -> Iterator[Path]:
    parent = Path(".arts")
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as directory:
        yield Path(directory).resolve()


def _config(folder: Path, synchronous: str) -> Path:
    file = folder / "arts.toml"
    file.write_text(f'[store]\nsynchronous = "{synchronous}"\n[log]\nlevel = "warning"\n')
    return file
