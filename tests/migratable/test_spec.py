"""The runner of the WebAssembly test suite: on scripts of our own, right ones and wrong ones.

The suite itself is not here; ``make soak SPEC=FOLDER`` runs it.
"""

from pathlib import Path
from typing import Any

import pytest

from arts.migratable import Frames

from .proof import spec, wast
from .proof.contract import Guest
from .proof.worlds import Mode

SCRIPTS = Path(__file__).parent / "scripts"
GC = "refused: typed references or garbage collected types"
NOT_IN_PRIMARY = {
    spec.HIDDEN: 1,
    "refused: an imported memory cannot hold frames too": 3,
    "a skipped module shares something with it": 1,
}


@pytest.mark.parametrize("mode", spec.MODES, ids=lambda mode: f"every {mode.every}")
def test_a_script_passes_when_it_is_paused(mode: Mode) -> None:
    outcome = spec.check(SCRIPTS / "sample.wast", mode)
    assert outcome.failures == []
    skips = {GC: 2} | (NOT_IN_PRIMARY if mode.frames is Frames.PRIMARY else {})
    assert dict(outcome.skips) == skips
    assert outcome.passed == 33 - sum(skips.values())
    assert outcome.pauses > outcome.moves > 4, "modules that share are paused, but stay"


@pytest.mark.parametrize("mode", spec.MODES, ids=lambda mode: f"every {mode.every}")
def test_legacy_exceptions_pass_too(mode: Mode) -> None:
    outcome = spec.check(SCRIPTS / "legacy" / "sample.wast", mode)
    assert (outcome.failures, dict(outcome.skips), outcome.passed) == ([], {}, 5)
    assert outcome.moves > 0


def test_a_wrong_script_fails(tmp_path: Path) -> None:
    right = (SCRIPTS / "legacy" / "sample.wast").read_text()
    wrong = tmp_path / "legacy" / "wrong.wast"
    wrong.parent.mkdir()
    wrong.write_text(right.replace("(i32.const 106)", "(i32.const 107)"))
    outcome = spec.check(wrong, spec.MODES[0])
    (failure,) = outcome.failures
    assert "caught" in failure
    assert spec.main([str(tmp_path)]) == 1


def test_what_pausing_changes_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that loses globals is seen."""
    monkeypatch.setattr(Guest, "capture", _without_globals(Guest.capture))
    outcome = spec.check(SCRIPTS / "sample.wast", spec.MODES[0])
    assert outcome.failures


def _without_globals(capture: Any) -> Any:
    def forgetful(guest: Any) -> Any:
        snapshot = capture(guest)
        snapshot.globals = [value._replace(bits=0) for value in snapshot.globals]
        return snapshot

    return forgetful


def test_values_match_what_scripts_expect() -> None:
    value: dict[str, Any] = {"type": "f32", "value": "1"}
    assert wast.matches(wast.argument(value), value)
    assert not wast.matches(wast.argument(value), {"type": "f32", "value": "2"})
    assert not wast.matches(wast.argument(value), {"type": "f32", "value": "nan:canonical"})
    assert not wast.matches(wast.argument(value), {"type": "i32", "value": "1"})
