"""Where the program of an object comes from."""

from typing import Any

import pytest

from arts.scenes.model import SceneSettings
from arts.scenes.program import check, source_of
from tests.scenes.stage import program

STORE = SceneSettings(file_store="https://arena.example/")


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (
            {"file": "counter.wasm", "location": "/jane/apps/"},
            "https://arena.example/store/users/jane/apps/counter.wasm",
        ),
        (
            {"file": "my app.wasm", "location": "jane"},
            "https://arena.example/store/users/jane/my%20app.wasm",
        ),
        ({"file": "counter.wasm"}, "counter.wasm"),
        ({"file": None, "filename": "old.wasm"}, "old.wasm"),
        (
            {"file": "http://here.example/a.wasm?x=1", "location": "jane"},
            "http://here.example/a.wasm?x=1",
        ),
        ({"file": "box.py", "location": "jane/py", "filetype": "PY"}, "box.py"),
    ],
)
def test_with_a_file_store(data: dict[str, Any], source: str) -> None:
    fields = {key: value for key, value in program(**data).items() if value is not None}
    assert source_of(check(fields, "3e6d1c52-6d3c-4a43-9e1c-0d4c8a4f0001"), STORE) == source


def test_without_one_the_file_is_looked_up_as_in_any_create() -> None:
    data = check(program(location="jane/apps", instantiate="client"), "box")
    assert source_of(data, SceneSettings()) == "box.wasm"
