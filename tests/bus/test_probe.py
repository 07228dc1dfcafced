"""The probe of brokers: who can hand a session over passes, who cannot does not."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from arts.bus.base import Delivery, Session, SessionEvent
from arts.bus.broker import Broker
from arts.bus.probe import judge, probe_takeover
from arts.bus.session import MqttSession
from arts.errors import BusError
from tests.support.broker import unique
from tests.support.foreign import foreign_broker


async def test_our_brokers_pass_and_keep_nothing(broker: Broker) -> None:
    used = set[str]()

    def make_session(client_id: str) -> Session:
        used.add(client_id)
        return MqttSession(broker.url, client_id)

    assert await probe_takeover(make_session, unique()) is None
    assert len(used) == 2
    for client_id in used:
        session = MqttSession(broker.url, client_id)
        assert await session.connect(lambda _: None, 5) is False
        await session.purge()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("nats", "8 of 356 messages .* did not come again"), ("aedes", "in another order")],
)
async def test_who_cannot_is_found_out(kind: str, reason: str, tmp_path: Path) -> None:
    with foreign_broker(kind, tmp_path) as url:
        why = await probe_takeover(lambda name: MqttSession(url, name), "realm")
    assert re.search(reason, why or "passed"), why


@pytest.mark.parametrize(
    ("known", "came", "verdict"),
    [
        (True, [3, 4, 5], None),
        (False, [3, 4, 5], "it forgot the session when its owner left"),
        (True, [5], "2 of 3 messages that were owed"),
        (True, [4, 5, 4, 4], "1 of 3 messages that were owed"),
        (True, [2, 3, 4, 5], "more than once, or again after"),
        (True, [3, 4, 4, 5], "more than once, or again after"),
        (True, [3, 5, 4], "in another order"),
    ],
)
def test_verdicts(known: bool, came: list[int], verdict: str | None) -> None:
    reason = judge(known, range(3, 6), came)
    assert (reason is None) is (verdict is None)
    assert (verdict or "") in (reason or "")


async def test_without_a_broker_there_is_no_verdict() -> None:
    with pytest.raises(BusError):
        await probe_takeover(lambda name: MqttSession("mqtt://127.0.0.1:1", name), "realm")


async def test_a_broker_that_is_lost_meanwhile_is_not_blamed(broker: Broker) -> None:
    class Unlucky(MqttSession):
        """Loses its connection with the tenth message."""

        async def connect(self, listener: Callable[[SessionEvent], None], timeout: float) -> bool:
            def listen(event: SessionEvent) -> None:
                listener(event)
                if isinstance(event, Delivery) and event.receipt == 10 and self._link:
                    self._link.cut()

            return await super().connect(listen, timeout)

    with pytest.raises(BusError):
        await probe_takeover(lambda name: Unlucky(broker.url, name), unique())
