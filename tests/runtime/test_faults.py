"""What goes wrong with one module: named if foreseen, logged in full if not, contained always."""

import pytest

from arts.errors import SnapshotError
from runtime.faults import fault_of
from tests.runtime.fleet import Fleet, Move


def test_an_error_on_purpose_keeps_its_name(caplog: pytest.LogCaptureFixture) -> None:
    assert fault_of(SnapshotError("damaged"), "m") == ("snapshot_error", "damaged")
    assert caplog.text == ""


def test_a_bug_of_the_engine_is_logged_in_full(caplog: pytest.LogCaptureFixture) -> None:
    fault = fault_of(KeyError("oops"), "m")
    assert fault == ("engine_error", "the engine failed: KeyError('oops')")
    assert "engine.failed" in caplog.text


async def test_an_engine_that_breaks_on_one_program_serves_the_others(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the compiler crashed")

    await fleet.runtime("a")
    with monkeypatch.context() as patch:
        patch.setattr("runtime.engines.wasmtime.WasmtimeEngine.load", broken)
        fleet.send("a", fleet.start_command("hello"))
        report = await fleet.report("failed")
    assert report.code == "engine_error"
    await fleet.start("hello", uuid="other")
    await fleet.report("exited", "other")


async def test_an_engine_that_breaks_on_one_snapshot_refuses_the_move(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the decoder crashed")

    for name in "ab":
        await fleet.runtime(name)
    module = await fleet.start("counter", args=("1",))
    for step in ("encode", "decode"):
        move = Move(fleet, module, "a", "b", name=f"move-{step}")
        await move.prepare()
        with monkeypatch.context() as patch:
            patch.setattr(f"runtime.moves.snapshots.{step}", broken)
            move.send_freeze()
            assert (await fleet.report("refused")).code == "engine_error"
        await move.abort()
    await fleet.printed(3)
