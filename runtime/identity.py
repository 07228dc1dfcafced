"""Who a runtime is: a uuid that outlives the process, and a lock so that it has only one body."""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arts.errors import SettingsError


@contextmanager
def claim(data_dir: Path, wanted: str | None = None) -> Iterator[str]:
    """The uuid of the runtime that lives in ``data_dir``; ``wanted`` if given.

    Held until the end of the context. Raises ``SettingsError`` when another process has it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "runtime.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingsError(f"another runtime lives in {data_dir}") from None
        if wanted is not None:
            yield wanted
            return
        file = data_dir / "uuid"
        if not file.exists():
            file.write_text(f"{uuid.uuid4()}\n")
        yield file.read_text().strip()
