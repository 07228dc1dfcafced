"""``Bus`` over MQTT 3.1.1: which broker, and with which options. The work is done elsewhere:
``reconnecting`` keeps it connected, ``connection`` moves the packets."""

import ssl

from arts.bus.address import parse_address
from arts.bus.base import Will
from arts.bus.connection import Connection
from arts.bus.link import Listener
from arts.bus.reconnecting import ReconnectingBus


class MqttBus(ReconnectingBus):
    """``Bus`` to the broker at ``url`` (see ``arts.bus.address``) under ``client_id``.

    ``keepalive`` and ``connect_timeout`` are seconds. ``outbox_limit`` messages or
    ``outbox_bytes`` are kept while they cannot be sent; what comes on top raises ``BusError``.
    ``tls`` replaces the default trust store of encrypted URLs. Raises ``BusError`` for a bad URL.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        will: Will | None = None,
        keepalive: int = 30,
        connect_timeout: float = 5.0,
        outbox_limit: int = 10_000,
        outbox_bytes: int = 256 * 1024 * 1024,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = parse_address(url)

        def connect(listener: Listener) -> Connection:
            return Connection(address, client_id, listener, will=will, keepalive=keepalive, tls=tls)

        super().__init__(
            connect,
            f"{address} ({client_id})",
            timeout=connect_timeout,
            outbox_limit=outbox_limit,
            outbox_bytes=outbox_bytes,
        )
