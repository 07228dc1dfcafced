"""The broker goes away and comes back: nothing is given up, and what can be kept is kept.

What can be kept differs: mosquitto has sessions and queues on disk, the embedded broker has
nothing but what its clients repeat (QoS 1 from their outboxes), so that a message which it had
taken and not yet handed on is gone with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiomqtt
import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from tests.support.broker import unique
from tests.support.faults import (
    assert_alive_once,
    instances,
    kill,
    until_online,
    without_broker,
)
from tests.support.realm import Observer, client_of, counted, is_consecutive, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

INTERVAL_MS = 20


@asynccontextmanager
async def patient_witness(realm: LocalRealm, topic: str) -> AsyncIterator[Observer[str]]:
    """Hears a topic in a session that the broker keeps; thrown out, it comes back."""
    heard: Observer[str] = Observer()
    ready = asyncio.Event()
    address, name = urlsplit(realm.broker_url), unique("witness")

    async def listen() -> None:
        while True:
            try:
                async with aiomqtt.Client(
                    address.hostname or "",
                    address.port or 1883,
                    identifier=name,
                    clean_session=False,
                ) as mqtt:
                    await mqtt.subscribe(topic, qos=1)
                    ready.set()
                    async for message in mqtt.messages:
                        heard.add(bytes(message.payload).decode())
            except aiomqtt.MqttError:
                await asyncio.sleep(0.05)

    listening = asyncio.create_task(listen(), name="witness")
    try:
        await ready.wait()
        yield heard
    finally:
        listening.cancel()
        await asyncio.wait([listening])


async def test_the_broker_is_restarted_twice(realm: LocalRealm, client: Client) -> None:
    async with module(client, "counter", INTERVAL_MS) as counter:
        topic = client.topics.stdio("stdout", counter.uuid)
        async with patient_witness(realm, topic) as witness:
            await witness.more(5)
            for _ in range(2):
                async with without_broker(realm):
                    pass
                await witness.more(20)
        await until_online(client, realm)
        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 1
        # QoS 1: what was under way when the broker stopped may come twice.
        numbers = list(dict.fromkeys(counted(witness.seen)))
        assert numbers == sorted(numbers)
        if realm.broker.kind == "mosquitto":
            assert is_consecutive(numbers), numbers


async def test_a_module_with_channels_outlives_the_broker(
    realm: LocalRealm, client: Client
) -> None:
    """It stands still while there is no broker, and goes on with the same state."""
    topic = unique(f"{client.topics.realm}/echo")
    channels = [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r"},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w"},
    ]
    async with (
        module(client, "echo", channels=channels) as echo,
        patient_witness(realm, f"{topic}/out") as answers,
    ):
        client.publish(f"{topic}/in", b"before")
        await answers.until(lambda seen: "before" in seen)
        async with without_broker(realm):
            pass
        await until_online(client, realm)
        await _ask_until_answered(client, f"{topic}/in", answers)
        document = await client.query("module", echo.uuid)
        assert (document["state"], document["generation"]) == ("running", 1)
        await client.move(echo.uuid)
        client.publish(f"{topic}/in", b"the end")
        await answers.until(lambda seen: seen[-1] == "the end")


async def _ask_until_answered(client: Client, topic: str, answers: Observer[str]) -> None:
    """The module may need a moment to have its session back; the embedded broker forgot it."""
    number = 0
    while "after" not in "".join(answers.seen):
        client.publish(topic, f"after {number}".encode())
        number += 1
        await asyncio.sleep(0.1)


async def test_the_broker_crashes(realm: LocalRealm, client: Client) -> None:
    async with module(client, "counter", INTERVAL_MS) as counter:
        realm.broker.kill()
        await realm.broker.restart()
        await until_online(client, realm)
        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 1


async def test_modules_run_while_there_is_no_broker(realm: LocalRealm, client: Client) -> None:
    """A computation needs none; what it wrote meanwhile is heard afterwards."""
    async with module(client, "counter", INTERVAL_MS, 60) as counter:
        await counter.output.more(5)
        async with without_broker(realm):
            await asyncio.sleep(INTERVAL_MS * 60 / 1000)
        assert (await counter.reaches("exited"))["exit_code"] == 0


async def test_there_is_no_broker_at_the_start(realm: LocalRealm) -> None:
    """Everybody waits for it, whoever starts first."""
    async with client_of(realm) as client:
        before = await instances(client)
    async with without_broker(realm):
        for child in (realm.supervisor, *realm.runtimes):
            await kill(child)
        for child in (*realm.runtimes, realm.supervisor):
            await child.start()
    async with client_of(realm) as client:
        await until_online(client, realm, unlike=before)
        async with module(client, "counter", INTERVAL_MS) as counter:
            await client.move(counter.uuid)
            await counter.output.more(3)


async def test_the_broker_is_restarted_during_a_move(realm: LocalRealm, client: Client) -> None:
    """The move is done or called off; the module counts on either way."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        await counter.output.more(3)
        moving = asyncio.create_task(client.move(counter.uuid))
        async with without_broker(realm):
            pass
        await until_online(client, realm)
        await asyncio.wait([moving])
        moving.exception()
        await assert_alive_once(client, realm, counter)
        numbers = counted(counter.lines)
        assert 1 not in numbers[1:]
