"""A bus that was stopped leaves nothing: no task, no thread, no descriptor, no timer."""

import asyncio
import gc
import os
import sys
import threading

import pytest

from arts.bus.base import Connected
from arts.bus.broker import Broker
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from tests.bus.network import event_of
from tests.support.broker import unique


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def use(broker: Broker) -> None:
    bus, session = MqttBus(broker.url, unique()), MqttSession(broker.url, unique())
    bus.subscribe("leaks/#")
    await bus.start()
    await event_of(bus, Connected)
    await session.connect(lambda event: None, 5)
    bus.publish("leaks/x", bytes(100_000), qos=1)
    bus.publish("leaks/x", bytes(100_000))
    await bus.stop()
    await session.purge()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_nothing_is_left(broker: Broker) -> None:
    await use(broker)  # whatever stays from the first time is not a leak
    gc.collect()
    before = descriptors(), threading.active_count(), len(asyncio.all_tasks())
    for _ in range(3):
        await use(broker)
    assert (descriptors(), threading.active_count(), len(asyncio.all_tasks())) == before
    loop = asyncio.get_running_loop()
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert not [timer for timer in timers if "Connection" in repr(timer)]
    gc.collect()  # would complain of what was forgotten: warnings are errors
