"""A runtime gives the sessions of modules only to a broker that can hand them over."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from arts.errors import BusError
from runtime.engines.wasmtime import WasmtimeEngine
from runtime.trust import Trust
from tests.runtime.fleet import echo_channels
from tests.runtime.test_agent_mqtt import MqttFleet
from tests.support.foreign import foreign_broker


def saying(
    *answers: str | BusError | None,
) -> tuple[Callable[[], Awaitable[str | None]], list[int]]:
    """A probe with these results, and how often it was asked."""
    coming, asked = iter(answers), list[int]()

    async def probe() -> str | None:
        asked.append(1)
        await asyncio.sleep(0)
        answer = next(coming)
        if isinstance(answer, BusError):
            raise answer
        return answer

    return probe, asked


async def test_a_verdict_is_sought_once() -> None:
    for answer in ("bad", None):
        probe, asked = saying(answer)
        trust = Trust(probe)
        results = await asyncio.gather(*(trust.require() for _ in range(5)), return_exceptions=True)
        assert len(asked) == 1
        assert [isinstance(result, BusError) for result in results] == [answer is not None] * 5


async def test_without_a_verdict_the_next_asks_again() -> None:
    probe, asked = saying(BusError("gone"), "bad")
    trust = Trust(probe)
    await trust.require()
    with pytest.raises(BusError, match=r"bad.*--trust-broker"):
        await trust.require()
    assert len(asked) == 2


async def test_a_trusted_broker_is_not_tried() -> None:
    await Trust(None).require()


async def test_at_nats_only_modules_without_a_session_run_unless_told_otherwise(
    engine: WasmtimeEngine, programs: dict[str, bytes], tmp_path: Path
) -> None:
    with foreign_broker("nats", tmp_path) as url:
        async with MqttFleet(engine, programs, tmp_path, url=url) as fleet:
            process = await fleet.process("careful")
            trusting = await fleet.process("trusting", "--trust-broker")
            try:
                await fleet.start("hello", "careful", uuid="talks")
                await fleet.report("exited", "talks")
                channels = echo_channels(fleet.realm)
                wish = fleet.start_command("echo", "careful", uuid="listens", channels=channels)
                fleet.send("careful", wish)
                failed = await fleet.report("failed", "listens")
                assert failed.code == "bus_error"
                assert "did not come again within 2 s" in (failed.detail or "")
                assert "--trust-broker" in (failed.detail or "")
                await fleet.start("echo", "trusting", channels=channels)
            finally:
                for each in (process, trusting):
                    each.kill()
                    await each.wait()
