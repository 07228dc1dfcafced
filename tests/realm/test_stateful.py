"""The realm against a hostile network, with runtimes written from the contract alone."""

from support.chaos import Chaos, thoroughly
from support.fake_host import FakeHost


class RealmChaos(Chaos):
    """Clients, honest runtimes, and everything that can go wrong between them."""

    make_peer = FakeHost


TestRealm = thoroughly(RealmChaos)
