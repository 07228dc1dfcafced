"""Where a broker is and how to get in, read from a URL. Opens nothing.

mqtt://user:password@host:1883    mqtts://host    ws://host/mqtt    wss://host:443/path
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from arts.errors import BusError

_SCHEMES: dict[str, tuple[Literal["tcp", "websockets"], bool, int]] = {
    "mqtt": ("tcp", False, 1883),
    "mqtts": ("tcp", True, 8883),
    "ws": ("websockets", False, 80),
    "wss": ("websockets", True, 443),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's address. ``str()`` of it is safe to log: it leaves the password out."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    username: str | None = None
    password: str | None = None

    @property
    def transport(self) -> Literal["tcp", "websockets"]:
        """What MQTT rides on."""
        return _SCHEMES[self.scheme][0]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return _SCHEMES[self.scheme][1]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(url: str) -> Address:
    """Read a broker URL; the port defaults to the scheme's usual one. Raises ``BusError``."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BusError(f"not a broker URL: {error}") from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise BusError(f"not a broker URL (mqtt|mqtts|ws|wss://host:port): {_public(url)!r}")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port if port else _SCHEMES[parts.scheme][2],
        path=parts.path if parts.path not in ("", "/") else "/mqtt",
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _public(url: str) -> str:
    """The URL without what stands before an ``@``: it may be a password."""
    return url.rsplit("@", 1)[-1]
