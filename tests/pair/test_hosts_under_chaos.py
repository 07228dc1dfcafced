"""The real realm and real hosts against a hostile network."""

from support.chaos import Chaos
from support.host_peer import HostPeer


class PairChaos(Chaos):
    """Clients, real hosts with an engine that counts, and everything that can go wrong."""

    make_peer = HostPeer


TestPair = PairChaos.TestCase
