"""The real realm and real hosts against a hostile network."""

from support.chaos import Chaos, thoroughly
from support.host_peer import HostPeer


class PairChaos(Chaos):
    """Clients, real hosts with an engine that counts, and everything that can go wrong."""

    make_peer = HostPeer

    def teardown(self) -> None:
        super().teardown()
        for uuid in self.running():
            module = self.network.realm.module(uuid)
            assert module is not None
            assert module.parent is not None
            owner, _ = self.network.world.sessions[uuid]
            assert owner is self.node(module.parent).peer, "who runs it has its MQTT session"


TestPair = thoroughly(PairChaos)
