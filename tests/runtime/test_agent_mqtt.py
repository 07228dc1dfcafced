"""Runtimes on real brokers and as real processes: what the memory twin cannot prove."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arts.bus.base import Bus, Session, Will
from arts.bus.broker import Broker
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from runtime.engines.wasmtime import WasmtimeEngine
from tests.runtime.fleet import PATIENCE, Fleet, echo_channels
from tests.runtime.test_agent import counts
from tests.support.broker import OpenBroker, unique


@dataclass
class MqttFleet(Fleet):
    """A fleet on a real broker, in a realm of its own."""

    url: str = ""
    keepalive: int = 10
    """Of sessions of modules, in seconds."""

    def __post_init__(self) -> None:
        self.realm = unique("realm")
        self.everything = f"{self.realm}/#"
        super().__post_init__()

    def make_bus(self, client_id: str, will: Will | None) -> Bus:
        return MqttBus(self.url, client_id, will=will)

    def make_session(self, client_id: str) -> Session:
        return MqttSession(self.url, client_id, keepalive=self.keepalive)

    async def process(self, name: str, *arguments: str) -> asyncio.subprocess.Process:
        """A runtime as a process of its own, once it has registered."""
        home = self.seed(name)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runtime", "--broker", self.url, "--realm", self.realm),
            *(
                "--data-dir",
                str(home),
                "--name",
                name,
                "--uuid",
                name,
                "--log-level",
                "error",
                *arguments,
            ),
            stdin=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        await self.until(lambda: any(r.uuid == name for r in self.registrations))
        return process


@pytest.fixture
async def mqtt_fleet(
    broker: Broker, engine: WasmtimeEngine, programs: dict[str, bytes], tmp_path: Path
) -> AsyncIterator[MqttFleet]:
    """A fleet on each kind of broker in turn."""
    async with MqttFleet(engine, programs, tmp_path, url=broker.url) as fleet:
        yield fleet


@pytest.fixture
async def mosquitto_fleet(
    mosquitto: Broker, engine: WasmtimeEngine, programs: dict[str, bytes], tmp_path: Path
) -> AsyncIterator[MqttFleet]:
    """A fleet on mosquitto."""
    async with MqttFleet(engine, programs, tmp_path, url=mosquitto.url) as fleet:
        yield fleet


async def test_messages_are_handled_exactly_once_across_moves(mqtt_fleet: MqttFleet) -> None:
    fleet = mqtt_fleet
    channels = echo_channels(f"{fleet.realm}/echo")
    for name in "ab":
        await fleet.runtime(name)
    module = await fleet.start("echo", channels=channels)
    sent: list[bytes] = []

    async def feed() -> None:
        for _ in range(20):
            sent.append(b"%d" % len(sent))
            fleet.bus.publish(channels[0].topic, sent[-1], qos=1)

    for hop in range(4):
        source, target = ("a", "b") if hop % 2 == 0 else ("b", "a")
        await feed()
        module, _ = await fleet.move(module, source, target, before_freeze=feed)
        await feed()
    out = fleet.messages[channels[1].topic]
    await fleet.until(lambda: len(out) >= len(sent))
    assert out == sent


async def test_a_full_window_does_not_stop_who_writes_what_it_reads(
    mqtt_fleet: MqttFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker confirms nothing to whoever owes it a window of acknowledgements, and an
    echo that had to wait for that could not acknowledge: until the line was taken for dead."""
    monkeypatch.setattr("runtime.traffic._UNCONFIRMED", 5)
    fleet = mqtt_fleet
    fleet.keepalive = 3600
    channels = echo_channels(f"{fleet.realm}/echo")
    await fleet.runtime("a")
    await fleet.start("echo", channels=channels)
    sent = [b"%d" % n for n in range(1000)]
    for message in sent:
        fleet.bus.publish(channels[0].topic, message, qos=1)
    out = fleet.messages[channels[1].topic]
    await fleet.until(lambda: len(out) >= len(sent))
    assert out == sent


async def test_a_counter_moves_between_processes(mosquitto_fleet: MqttFleet) -> None:
    fleet = mosquitto_fleet
    processes = [await fleet.process(name, "--label", "site=lab") for name in "ab"]
    assert fleet.registrations[0].labels == {"site": "lab"}
    module = await fleet.start("counter", args=("5",))
    for hop in range(4):
        source, target = ("a", "b") if hop % 2 == 0 else ("b", "a")
        await fleet.printed(3)
        module, moved = await fleet.move(module, source, target)
        assert moved.downtime < 1.0
    seen = counts(await fleet.printed(3))
    assert seen == list(range(1, len(seen) + 1))
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    await fleet.until(lambda: len(fleet.farewells) == 2)
    assert {farewell.reason for farewell in fleet.farewells} == {"shutdown"}


async def test_a_killed_process_is_missed(mosquitto_fleet: MqttFleet) -> None:
    process = await mosquitto_fleet.process("a")
    process.kill()
    await process.wait()
    await mosquitto_fleet.until(lambda: mosquitto_fleet.farewells)
    assert mosquitto_fleet.farewells[0].reason == "last_will"


async def test_a_process_ends_with_its_parent(mosquitto_fleet: MqttFleet) -> None:
    process = await mosquitto_fleet.process("a", "--exit-with-stdin")
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_a_second_process_in_one_place_is_refused(mosquitto_fleet: MqttFleet) -> None:
    process = await mosquitto_fleet.process("a")
    second = await mosquitto_fleet.process("a")
    assert await asyncio.wait_for(second.wait(), PATIENCE) == 1
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_modules_survive_a_restart_of_the_broker(
    own_broker: OpenBroker, engine: WasmtimeEngine, programs: dict[str, bytes], tmp_path: Path
) -> None:
    broker = await own_broker("mosquitto")
    async with MqttFleet(engine, programs, tmp_path / "fleet", url=broker.url) as fleet:
        await fleet.runtime("a")
        channels = echo_channels(f"{fleet.realm}/echo")
        await fleet.start("echo", channels=channels)
        await fleet.start("counter", uuid="counter", args=("5",))
        await fleet.printed(3, "counter")
        await broker.restart()
        await fleet.until(lambda: len(fleet.registrations) == 2)
        fleet.bus.publish(channels[0].topic, b"still there", qos=1)
        await fleet.until(lambda: fleet.messages[channels[1].topic] == [b"still there"])
        seen = counts(await fleet.printed(3, "counter"))
        # We were away too and have missed lines; but it never began anew.
        assert seen == sorted(seen)
        assert seen[-1] > 3
