"""A Python program is a folder; as one piece of bytes it is a zip archive that Python itself runs.

The same files always make the same bytes: what is content-addressed must not depend on the day.
Knows no network and no disk.
"""

import io
import zipfile
from collections.abc import Mapping
from typing import Final

_MARK: Final = b"ARTS folder"
"""The archive's comment: any other archive is no program."""

_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
_READABLE: Final = 0o100644 << 16

NOT_MOVABLE: Final = "a folder of Python files is started anew, it cannot be moved as it runs"
"""Why modules of it stay where they are."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """The files (path -> content) as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = _MARK
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _READABLE
            archive.writestr(entry, files[path])
    return buffer.getvalue()


def is_packed(data: bytes) -> bool:
    """Whether these bytes are a folder that ``pack`` made."""
    return data.startswith(b"PK") and data.endswith(_MARK)
