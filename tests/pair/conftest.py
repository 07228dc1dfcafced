"""A realm with real hosts, in virtual time."""

import pytest
from support.host_peer import HostPeer
from support.network import Network

from arts.model import ReplyTo
from arts.protocol.messages import CreateModule, DeleteModule, MoveModule
from arts.realm.state import RealmSettings


class Pair(Network):
    """Runtimes a and b, and a client."""

    def create(self, uuid: str) -> None:
        self.request(
            CreateModule(object_id=f"create {uuid}", uuid=uuid, reply=_to(f"create {uuid}"))
        )
        self.drain()

    def move(self, uuid: str, target: str) -> None:
        """Asks; what follows is under way."""
        name = f"move {uuid} to {target}"
        self.request(MoveModule(object_id=name, uuid=uuid, target=target, reply=_to(name)))

    def delete(self, uuid: str) -> None:
        name = f"delete {uuid}"
        self.request(DeleteModule(object_id=name, uuid=uuid, reply=_to(name)))
        self.drain()

    def count(self, times: int = 1) -> None:
        """All running modules count."""
        for _ in range(times):
            for node in self.nodes.values():
                if isinstance(node.peer, HostPeer):
                    node.peer.count()

    def where(self, uuid: str) -> str | None:
        """Who owns a module."""
        module = self.realm.module(uuid)
        return module.parent if module else None

    def answer(self, object_id: str) -> bool:
        """The one answer to a request."""
        (response,) = self.answers[object_id]
        return bool(response.ok)


def _to(object_id: str) -> ReplyTo:
    return ReplyTo(topic="client", object_id=object_id)


def make_pair() -> Pair:
    """Runtimes a and b are registered and empty."""
    pair = Pair(HostPeer, RealmSettings())
    pair.add("a")
    pair.drain()
    return pair


@pytest.fixture
def pair() -> Pair:
    """Module counter runs on runtime a and has counted to 3; runtime b is empty."""
    return counting()


def counting() -> Pair:
    """Module counter runs on runtime a and has counted to 3; runtime b is empty."""
    pair = make_pair()
    pair.create("counter")
    pair.add("b")
    pair.drain()
    pair.count(3)
    return pair
