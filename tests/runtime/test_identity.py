"""Who a runtime is, from one process to the next."""

from pathlib import Path

import pytest

from arts.errors import SettingsError
from runtime.identity import claim


def test_the_uuid_outlives_the_process(tmp_path: Path) -> None:
    with claim(tmp_path / "new") as first:
        assert len(first) == 36
    with claim(tmp_path / "new") as second:
        assert second == first


def test_a_given_uuid_wins(tmp_path: Path) -> None:
    with claim(tmp_path, "rt-a") as uuid:
        assert uuid == "rt-a"


def test_two_cannot_live_in_one_place(tmp_path: Path) -> None:
    with claim(tmp_path), pytest.raises(SettingsError, match="another runtime"), claim(tmp_path):
        pass
