"""One runtime with real programs: start, print, end, trap, stop, limits, fairness, registration."""

import asyncio

import pytest

from arts.errors import BusError
from arts.model import Limits
from arts.protocol import codec
from arts.protocol import messages as m
from runtime.ledger import Timeouts
from tests.runtime.fleet import ECHO, TOPICS, Fleet
from tests.runtime.scripted import eventually


def counts(lines: list[str]) -> list[int]:
    """The numbers of the lines of ``counter``."""
    return [int(line.removeprefix("count ")) for line in lines]


async def test_a_module_prints_and_exits_in_that_order(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("hello", args=("--exit", "3"), env=("WHO=me",))
    report = await fleet.report("exited")
    assert report.exit_code == 3
    assert "WHO=me" in "\n".join(fleet.lines())
    assert (report.runtime, report.instance) == ("a", fleet.agents["a"].instance)


async def test_a_trap_is_a_failure_with_its_reason(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("faulty/trap")
    report = await fleet.report("failed")
    assert report.code == "engine_error"
    assert report.detail


async def test_what_is_not_a_program_fails_to_start(fleet: Fleet) -> None:
    await fleet.runtime("a")
    fleet.send("a", fleet.start_command("faulty/notwasm"))
    assert (await fleet.report("failed")).code == "program_error"


async def test_a_parked_module_is_stopped(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("counter", args=("1",))
    await fleet.printed(3)
    await fleet.stop("a")
    lines = fleet.lines()
    assert counts(lines) == list(range(1, len(lines) + 1))
    await fleet.stop("a")  # there is nothing left, and that is an answer too


async def test_a_spinning_module_is_stopped(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("faulty/spin")
    await fleet.stop("a", force=True)


async def test_a_module_that_listens_may_end_well(fleet: Fleet) -> None:
    agent = await fleet.runtime("a")
    await fleet.start("faulty/signals")
    (copy,) = agent._copies.values()
    await eventually(lambda: copy.instance is not None and copy.instance.listens)
    await fleet.stop("a")
    assert fleet.lines() == ["bye"]


async def test_standard_input_reaches_the_module(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("stdinread")
    for line in (b"one", b"two\n"):
        fleet.bus.publish(TOPICS.stdio("stdin", "m"), line, qos=1)
    await fleet.until(lambda: len(fleet.lines()) == 2)
    assert fleet.lines() == ["got: one", "got: two"]
    fleet.bus.publish(TOPICS.stdio("stdin", "m"), b"quit", qos=1)
    assert (await fleet.report("exited")).exit_code == 0


async def test_messages_come_and_go_through_channels(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    sent = [b"message %d" % n for n in range(100)]
    for message in sent:
        fleet.bus.publish("echo/in", message, qos=1)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == len(sent))
    assert fleet.messages["echo/out"] == sent
    await fleet.stop("a")
    assert not fleet.broker._seats.keys() & {"realm-module-m"}  # its session is purged


async def test_the_life_time_limit_ends_a_module(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("faulty/spin", limits=Limits(wall_seconds=0.05))
    report = await fleet.report("failed")
    assert (report.code, report.detail) == ("limit_exceeded", "it ran for 0.05 s, its limit")


async def test_busy_modules_do_not_starve_the_others(fleet: Fleet) -> None:
    await fleet.runtime("a", workers=1, limits=Limits(slice_seconds=0.002))
    for uuid in ("spin-1", "spin-2"):
        await fleet.start("faulty/spin", uuid=uuid)
    await fleet.start("counter", args=("1",))
    lines = await fleet.printed(10)
    assert counts(lines) == list(range(1, len(lines) + 1))
    for uuid in ("spin-1", "spin-2", "m"):
        await fleet.stop("a", uuid, force=True)


async def test_a_flood_loses_nothing_and_drowns_nobody(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.traffic._BURST", 20)
    await fleet.runtime("a")
    await fleet.start("faulty/flood", limits=Limits(output_bytes_per_second=1 << 20))
    await fleet.start("counter", uuid="calm", args=("1",))
    await fleet.printed(10, "calm")
    await fleet.until(lambda: len(fleet.lines()) > 1000)
    await fleet.stop("a", force=True)
    lines = fleet.lines()
    assert lines == [f"flood {n}" for n in range(1, len(lines) + 1)]


async def test_a_flood_stands_still_while_the_broker_is_away(fleet: Fleet) -> None:
    agent = await fleet.runtime("a")
    await fleet.start("faulty/flood")
    await fleet.until(lambda: len(fleet.lines()) > 10)
    fleet.broker.hold("realm-runtime-a")
    (copy,) = agent._copies.values()
    await eventually(lambda: not copy.runner.free)
    fleet.broker.heal()
    await fleet.printed(1000)
    lines = fleet.lines()
    assert lines == [f"flood {n}" for n in range(1, len(lines) + 1)]


# ---------------------------------------------------------------------------- registration


async def test_it_registers_with_all_that_the_realm_must_know(fleet: Fleet) -> None:
    agent = await fleet.runtime("a", max_nmodules=7, labels={"site": "lab"}, keepalive=3.0)
    (request,) = fleet.registrations
    assert (request.uuid, request.name, request.max_nmodules) == ("a", "a", 7)
    assert request.labels == {"site": "lab"}
    features = {"events", "programs", "snapshot", "foresee", "checkpoint", "hold", "measure"}
    assert request.features == features
    assert request.instance == agent.instance
    assert request.ka_interval_sec == 3.0
    assert request.engine == fleet.engine.name
    assert request.abilities == fleet.engine.abilities


async def test_it_registers_until_it_is_heard(fleet: Fleet) -> None:
    fleet.accept = False
    await fleet.runtime("a", timeouts=Timeouts(register=0.01, refused=0.01))
    await fleet.until(lambda: len(fleet.registrations) >= 3)
    fleet.answer(fleet.registrations[-1], m.Response(ok=False, details="no", code="invalid"))
    heard = len(fleet.registrations)
    await fleet.until(lambda: len(fleet.registrations) > heard)
    fleet.accept = True
    await fleet.until(lambda: len(fleet.registrations) > heard + 1)


async def test_a_new_supervisor_hears_what_is_held(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("counter", args=("1",))
    for instance in ("one", "one", "two"):
        notice = m.SupervisorNotice(instance=instance)
        fleet.bus.publish(TOPICS.supervisor_state, codec.encode_document(notice), qos=1)
    await fleet.until(lambda: len(fleet.registrations) == 3)
    assert [held.uuid for held in fleet.registrations[-1].modules] == ["m"]
    fleet.bus.publish(TOPICS.supervisor_state, b"", qos=1)  # nobody supervises any more
    await fleet.printed(2)
    assert len(fleet.registrations) == 3


async def test_signs_of_life_tell_what_modules_use(fleet: Fleet) -> None:
    await fleet.runtime("a", keepalive=0.02)
    await fleet.start("counter", args=("1",))
    await fleet.until(lambda: any(k.children for k in fleet.keepalives))
    message = fleet.keepalives[-1]
    assert message.load is not None
    assert message.load.memory_available_bytes > 0
    (usage,) = message.children
    assert (usage.uuid, usage.generation) == ("m", 1)
    assert usage.mem_usage >= 65536


async def test_signs_of_life_tell_of_slow_pauses(fleet: Fleet) -> None:
    await fleet.runtime("a", keepalive=0.05)
    await fleet.start("faulty/spin")
    for _ in range(4):  # more than its workers: all must take turns
        await fleet.start("faulty/spin", uuid=f"spin-{_}")
    await fleet.until(
        lambda: any(c.pause_seconds > 0 for k in fleet.keepalives for c in k.children)
    )


async def test_it_takes_leave(fleet: Fleet) -> None:
    agent = await fleet.runtime("a")
    await fleet.start("faulty/spin")
    await fleet.start("echo", uuid="echo", channels=ECHO)
    await fleet.stop_runtime("a")
    await fleet.until(lambda: fleet.farewells)
    (farewell,) = fleet.farewells
    assert (farewell.uuid, farewell.instance) == ("a", agent.instance)
    assert farewell.reason == "shutdown"
    assert "realm-module-echo" in fleet.broker._seats  # the next owner will want its session


async def test_its_last_will_speaks_when_it_cannot(fleet: Fleet) -> None:
    await fleet.runtime("a")
    fleet.broker.partition("realm-runtime-a")
    await fleet.until(lambda: fleet.farewells)
    assert fleet.farewells[0].reason == "last_will"


async def test_nonsense_on_its_topics_is_survived(fleet: Fleet) -> None:
    await fleet.runtime("a")
    control, reply = TOPICS.control_of("a"), TOPICS.reply("a")
    for topic in (control, reply, TOPICS.supervisor_state):
        for nonsense in (b"", b"{", b"[]", b'{"type": "arts_req", "action": "fly", "data": {}}'):
            fleet.bus.publish(topic, nonsense, qos=1)
    foreign = b'{"object_id": "x", "type": "arts_resp", "data": {"result": "ok", "details": {}}}'
    fleet.bus.publish(reply, foreign, qos=1)
    await fleet.start("hello")
    await fleet.report("exited")


async def test_a_deaf_runtime_ends_loudly(fleet: Fleet) -> None:
    fleet.broker.refuse(TOPICS.control_of("a"))
    fleet.launch("a")
    with pytest.raises(ExceptionGroup) as raised:
        await fleet.tasks["a"]
    assert raised.group_contains(BusError, match="does not let us listen")
    del fleet.agents["a"]


# ---------------------------------------------------------------------------- cut connections


async def test_a_cut_session_loses_no_message(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    sent = [b"%d" % n for n in range(30)]
    for number, message in enumerate(sent):
        fleet.bus.publish("echo/in", message, qos=1)
        if number % 10 == 5:
            await fleet.until(lambda: fleet.messages["echo/out"])
            fleet.broker.cut("realm-module-m")
    await fleet.until(lambda: len(set(fleet.messages["echo/out"])) == len(sent))
    assert list(dict.fromkeys(fleet.messages["echo/out"])) == sent


async def test_a_cut_session_waits_for_the_realm(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    fleet.accept = False
    fleet.broker.cut("realm-module-m")
    await fleet.until(lambda: len(fleet.registrations) == 2)
    fleet.bus.publish("echo/in", b"for the owner", qos=1)
    await fleet.stop("a", forget_session=False)  # it is not us
    assert fleet.messages["echo/out"] == []
    assert "realm-module-m" in fleet.broker._seats


async def test_modules_survive_a_restart_of_the_broker(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("echo", uuid="echo", channels=ECHO)
    await fleet.start("counter", args=("1",))
    await fleet.printed(3)
    fleet.broker.stop()
    await asyncio.sleep(0.01)
    fleet.broker.start()
    await fleet.until(lambda: len(fleet.registrations) == 2)
    fleet.bus.publish("echo/in", b"still there", qos=1)
    await fleet.until(lambda: fleet.messages["echo/out"])
    lines = await fleet.printed(3)
    seen = counts(lines)
    assert seen == sorted(seen)
    assert [held.state for held in fleet.registrations[-1].modules] == ["running", "running"]


async def test_a_broker_that_forgot_everything_is_told_again(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("echo", channels=ECHO)
    fleet.broker.stop(forget=True)
    fleet.broker.start()
    await fleet.until(lambda: len(fleet.registrations) == 2)
    await fleet.until(lambda: "realm-module-m" in fleet.broker._seats)
    await eventually(lambda: fleet.broker._seats["realm-module-m"].filters)
    fleet.bus.publish("echo/in", b"again", qos=1)
    await fleet.until(lambda: fleet.messages["echo/out"] == [b"again"])
