"""What goes in and out of modules when the broker is slow, full or away; and their last words."""

import asyncio

import pytest

from arts.bus.memory import MemoryLink
from arts.errors import BusError
from arts.model import ChannelSpec
from runtime.copies import Copy
from runtime.engines.base import Activity, ChannelWrite, Consumed, OutputLine
from tests.runtime.fleet import ECHO, Fleet
from tests.runtime.scripted import eventually


def only_copy(fleet: Fleet, runtime: str = "a") -> Copy:
    (copy,) = fleet.agents[runtime]._copies.values()
    return copy


def link_of(fleet: Fleet, uuid: str = "m") -> MemoryLink:
    link = fleet.broker._seats[f"realm-module-{uuid}"].link
    assert link is not None
    return link


async def test_a_backlog_stays_at_the_broker_until_the_module_reads(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    copy = only_copy(fleet)
    assert await copy.pause(5.0)
    sent = [b"%d" % n for n in range(500)]
    for message in sent:
        fleet.bus.publish("echo/in", message, qos=1)
    await eventually(lambda: link_of(fleet).paused)
    assert len(copy.traffic._inbox._untaken) < 300
    copy.run()
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == len(sent))
    assert fleet.messages["echo/out"] == sent
    assert not link_of(fleet).paused


async def test_a_backlog_does_not_make_the_broker_think_we_are_dead(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.traffic._BREATHLESS", 0.01)
    monkeypatch.setattr("runtime.traffic._BREATH", 0.01)
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    copy = only_copy(fleet)
    assert await copy.pause(5.0)
    for n in range(300):
        fleet.bus.publish("echo/in", b"%d" % n, qos=1)
    for _ in range(2):
        await eventually(lambda: link_of(fleet).paused)
        await eventually(lambda: not link_of(fleet).paused)


async def test_a_backlog_does_not_delay_what_confirms_the_output(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes the same way: an echo with both waited until it was time to breathe."""
    monkeypatch.setattr("runtime.traffic._UNCONFIRMED", 5)
    monkeypatch.setattr("runtime.traffic._BREATHLESS", 3600)
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    copy = only_copy(fleet)
    assert await copy.pause(5.0)
    sent = [b"%d" % n for n in range(500)]
    for message in sent:
        fleet.bus.publish("echo/in", message, qos=1)
    await eventually(lambda: link_of(fleet).paused)
    copy.run()
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == len(sent))
    assert fleet.messages["echo/out"] == sent


async def test_a_module_that_writes_too_fast_waits_for_the_broker(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.traffic._UNCONFIRMED", 5)
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    copy = only_copy(fleet)
    assert await copy.pause(5.0)
    sent = [b"%d" % n for n in range(100)]
    for message in sent:
        fleet.bus.publish("echo/in", message, qos=1)
    await eventually(lambda: len(copy.traffic._inbox._untaken) == len(sent))
    fleet.broker.hold("realm-module-m")
    copy.run()
    await eventually(lambda: copy.traffic._confirming is not None)
    assert fleet.messages["echo/out"] == []
    fleet.broker.heal()
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == len(sent))
    assert fleet.messages["echo/out"] == sent


async def test_who_waits_for_the_broker_may_write_as_much_as_it_reads(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.traffic._UNCONFIRMED", 2)
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    copy = only_copy(fleet)
    wasi = copy.instance.wasi  # type: ignore[union-attr]
    fleet.broker.hold("realm-module-m")

    def does(*activities: Activity) -> bool:
        for activity in activities:
            copy.traffic.listen(activity)
        copy.traffic.drain()
        return bool(wasi.writable)

    said = ChannelWrite("/ch/out", b"said")
    assert does(said)
    assert not does(said)
    assert does(Consumed(0))
    assert not does(said)
    fleet.broker.heal()
    await eventually(lambda: wasi.writable)
    assert does(said)


async def test_a_session_cut_under_a_fast_writer_loses_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.traffic._UNCONFIRMED", 5)
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    sent = [b"%d" % n for n in range(100)]
    for message in sent:
        fleet.bus.publish("echo/in", message, qos=1)
    await fleet.until(lambda: fleet.messages["echo/out"])
    fleet.broker.cut("realm-module-m")
    await fleet.until(lambda: set(fleet.messages["echo/out"]) == set(sent))
    assert list(dict.fromkeys(fleet.messages["echo/out"])) == sent


async def test_a_write_that_no_broker_takes_fails_the_module(fleet: Fleet) -> None:
    await fleet.runtime("a")
    channels = (ECHO[0], ChannelSpec(path="/ch/out", topic="echo/+", mode="rw"))
    await fleet.start("echo", channels=channels)
    fleet.bus.publish("echo/in", b"x", qos=1)
    report = await fleet.report("failed")
    assert report.code == "bus_error"
    assert "/ch/out" in (report.detail or "")


async def test_a_session_that_is_refused_is_tried_again(fleet: Fleet) -> None:
    await fleet.runtime("a")
    fleet.broker.refuse("echo/in")
    fleet.send("a", fleet.start_command("echo", channels=ECHO))
    await eventually(lambda: "realm-module-m" in fleet.broker._seats)
    await eventually(lambda: fleet.broker._seats["realm-module-m"].link is None)
    fleet.broker.heal()
    await fleet.report("started")


async def test_last_words_that_nobody_confirms_do_not_delay_the_end_forever(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runtime.copies._LAST_WORDS", 0.02)
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    fleet.broker.hold("realm-module-m")
    only_copy(fleet).traffic._session.publish(  # type: ignore[union-attr]
        ("echo/out", b"never confirmed", 1)  # type: ignore[arg-type]
    )
    only_copy(fleet)._fail("engine_error", "it trapped")
    assert (await fleet.report("failed")).detail == "it trapped"
    assert "output.not_confirmed" in caplog.text


async def test_a_session_that_cannot_be_purged_is_left_to_the_broker(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def out_of_reach(self: object) -> None:
        raise BusError("out of reach")

    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    monkeypatch.setattr("arts.bus.session.TakeoverSession.purge", out_of_reach)
    await fleet.stop("a")
    assert "session.not_purged" in caplog.text


async def test_a_module_that_does_not_react_to_its_signal_is_ended(fleet: Fleet) -> None:
    await fleet.runtime("a", stop_grace=0.02)
    await fleet.start("faulty/signals")
    copy = only_copy(fleet)
    await eventually(lambda: copy.instance is not None and copy.instance.listens)
    assert copy.instance is not None
    copy.instance.signal = lambda name: None  # type: ignore[method-assign]
    await fleet.stop("a")
    assert fleet.lines() == []


async def test_ending_twice_is_ending_once(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("counter", args=("1",))
    copy = only_copy(fleet)
    copy._fail("engine_error", "first")
    copy._fail("engine_error", "second")
    assert (await fleet.report("failed")).detail == "first"
    await asyncio.sleep(0.01)
    assert [report.detail for report in fleet.reports if report.kind == "failed"] == ["first"]


async def test_what_a_discarded_module_still_does_does_not_get_out(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("counter", args=("1",))
    await fleet.printed(2)
    copy = only_copy(fleet)
    listen = copy.traffic.listen
    await fleet.stop("a", forget_session=False)
    printed = len(fleet.lines())
    listen(OutputLine("stdout", b"a ghost"))
    await asyncio.sleep(0.01)
    assert len(fleet.lines()) == printed
