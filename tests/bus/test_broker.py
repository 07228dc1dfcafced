"""Brokers of our own: started, refused, restarted, ended, and never left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from arts.bus import broker as broker_module
from arts.bus.base import Connected
from arts.bus.broker import Broker, ChildBroker, find_mosquitto, open_broker
from arts.bus.mqtt import MqttBus
from arts.errors import BusError
from tests.bus.network import event_of, eventually
from tests.support.broker import BROKER_KINDS, require

KILLED_PARENT = """
import asyncio, sys
from pathlib import Path
from arts.bus.broker import open_broker

async def main():
    async with open_broker(sys.argv[1], Path(sys.argv[2])) as broker:
        print(broker.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


async def can_connect(url: str) -> bool:
    bus = MqttBus(url, "probe")
    await bus.start()
    [event] = await bus.receive()
    await bus.stop()
    return isinstance(event, Connected)


@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_broker_serves_while_open(kind: str, tmp_path: Path) -> None:
    require(kind)
    async with open_broker(kind, tmp_path / "new" / "folder", ws_port=0) as broker:
        assert broker.kind == kind
        assert broker.pid is not None
        assert broker.ws_url is not None
        assert await can_connect(broker.url)
        assert await can_connect(broker.ws_url)
        pid = broker.pid
    assert broker.pid is None
    assert not running(pid)
    assert not await can_connect(broker.url)


@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_broker_listens_on_this_machine_only(kind: str, tmp_path: Path) -> None:
    require(kind)
    async with open_broker(kind, tmp_path) as broker:
        port = urlsplit(broker.url).port
        with socket.socket() as sock:
            sock.bind(("127.0.0.2", port or 0))


@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_restart_keeps_the_address(kind: str, tmp_path: Path) -> None:
    require(kind)
    async with open_broker(kind, tmp_path) as broker:
        url, pid = broker.url, broker.pid
        await broker.restart()
        assert broker.url == url
        assert broker.pid not in (None, pid)
        assert await can_connect(url)
        broker.kill()
        assert broker.pid is None
        assert not await can_connect(url)
        await broker.restart()
        assert await can_connect(url)
        await broker.stop()
        await broker.stop()


async def test_mosquitto_keeps_sessions_and_retained_messages(tmp_path: Path) -> None:
    require("mosquitto")
    async with open_broker("mosquitto", tmp_path) as broker:
        bus = MqttBus(broker.url, "a")
        await bus.start()
        await event_of(bus, Connected)
        bus.publish("state", b"1", qos=1, retain=True)
        assert await bus.flush(5)
        await bus.stop()
        await broker.restart()
        bus.subscribe("state")
        await bus.start()
        events = await event_of(bus, Connected)
        assert b"1" in [getattr(event, "payload", None) for event in events + await _more(bus)]
        await bus.stop()


async def _more(bus: MqttBus) -> list[object]:
    bus.subscribe("fence")
    bus.publish("fence", b"", qos=1)
    return list(await bus.receive())


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_broker_dies_with_its_parent(kind: str, tmp_path: Path) -> None:
    require(kind)
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", KILLED_PARENT, kind, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    assert running(pid)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    await eventually(lambda: not running(pid))


@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_taken_port_is_an_error_with_the_brokers_own_words(kind: str, tmp_path: Path) -> None:
    require(kind)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BusError, match=r"(?i)address|in use|listen"):
            async with open_broker(kind, tmp_path, port=taken.getsockname()[1]):
                pass


async def test_somebody_may_be_faster_at_a_free_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("mosquitto")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        choice = broker_module._free_port
        ports = [taken.getsockname()[1]] * 2
        monkeypatch.setattr(
            broker_module, "_free_port", lambda host: ports.pop() if ports else choice(host)
        )
        async with open_broker("mosquitto", tmp_path) as broker:
            assert await can_connect(broker.url)


async def test_the_usual_port_is_taken_only_if_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as usual:
        usual.bind(("127.0.0.1", 0))
        port = usual.getsockname()[1]
        monkeypatch.setattr(broker_module, "_USUAL_PORT", port)
        usual.listen()
        async with open_broker("embedded", tmp_path, port=None) as broker:
            assert urlsplit(broker.url).port != port
    async with open_broker("embedded", tmp_path, port=None) as broker:
        assert urlsplit(broker.url).port == port


async def test_cancelled_start_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChildBroker, "_accepts", lambda self: False)
    pids: list[int] = []
    start = ChildBroker.start

    async def remember(self: ChildBroker) -> None:
        task = asyncio.ensure_future(start(self))
        await asyncio.sleep(0)
        assert self.pid is not None
        pids.append(self.pid)
        await task

    monkeypatch.setattr(ChildBroker, "start", remember)
    opening = asyncio.ensure_future(open_broker("embedded", tmp_path).__aenter__())
    await eventually(lambda: pids != [])
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


async def test_a_broker_that_ignores_us_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_STOP_SECONDS", 0.05)
    async with open_broker("embedded", tmp_path) as broker:
        pid = broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        await broker.stop()
    assert time.monotonic() - began < 4
    assert not running(pid)


async def test_auto_prefers_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "mosquitto" if find_mosquitto() else "embedded"
    async with open_broker("auto", tmp_path) as broker:
        assert broker.kind == expected
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    async with open_broker("auto", tmp_path) as broker:
        assert broker.kind == "embedded"
    with pytest.raises(BusError, match="not installed"):
        async with open_broker("mosquitto", tmp_path):
            pass


async def test_a_foreign_broker_is_left_alone(tmp_path: Path) -> None:
    async with open_broker("mqtt://example.org:1", tmp_path / "none") as broker:
        assert (broker.kind, broker.url, broker.pid) == ("external", "mqtt://example.org:1", None)
        with pytest.raises(BusError, match="not ours"):
            await broker.restart()
        with pytest.raises(BusError, match="not ours"):
            broker.kill()
        await broker.stop()
    assert not (tmp_path / "none").exists()


async def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="no such kind"):
        async with open_broker("rabbit", tmp_path):
            pass


def test_addresses_of_version_six_are_written_in_brackets(tmp_path: Path) -> None:
    broker: Broker = ChildBroker("embedded", tmp_path, "::1", 1, 2)
    assert (broker.url, broker.ws_url) == ("mqtt://[::1]:1", "ws://[::1]:2/mqtt")
