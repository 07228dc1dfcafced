"""All dialects of a realm at once: who is heard where, and what language they speak. PURE."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from arts.model import ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.dialects.arena import Arena
from arts.protocol.dialects.arts import Arts
from arts.protocol.dialects.base import Dialect, Malformed, Outgoing, open_envelope
from arts.protocol.dialects.native import Native
from arts.protocol.dialects.silverline import SilverLine
from arts.protocol.dialects.silverline2022 import SilverLine2022
from arts.protocol.topics import Topics

_EXITED: Final = b"exited"
"""All that runtimes say on the topics of their commands and that is for the supervisor."""


class Dialects:
    """Everything that can be said in the realm of ``topics``."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        # In this order they are asked whether a message is theirs.
        self._all: Final[tuple[Dialect, ...]] = (
            Native(topics),
            Arena(topics),
            SilverLine2022(topics),
            SilverLine(topics),
            Arts(topics),
        )
        self._named: Final = {dialect.name: dialect for dialect in self._all}

    def subscriptions(self) -> Iterator[tuple[str, int]]:
        """(topic filter, QoS), each once."""
        wanted = [each for dialect in self._all for each in dialect.subscriptions()]
        yield from dict(wanted).items()

    def control_of(self, runtime: Runtime) -> str | None:
        """A topic on which this very runtime says something that the supervisor must hear."""
        return self.of(runtime.dialect).control_of(runtime)

    def decode(
        self, topic: str, payload: bytes, *, new_id: Callable[[], str], wall: float = 0.0
    ) -> Sequence[m.AnyRequest]:
        """The requests that a message makes; none if it is not for us. Raises ``Malformed``.

        ``new_id`` makes ids for clients that send none; ``wall`` is the time of arrival (seconds
        since the epoch).
        """
        if self._is_command(topic) and _EXITED not in payload:
            return ()  # runtimes hear all else there themselves, most of it from us
        try:
            envelope = open_envelope(topic, payload, new_id=new_id, wall=wall)
        except Malformed as error:
            if self._topics.arena_place(topic) is None:
                raise
            raise Malformed(str(error), None) from None  # there everybody hears everything
        if envelope is None:
            return ()
        for dialect in self._all:
            if dialect.speaks(envelope):
                return dialect.decode(envelope)
        return ()

    def _is_command(self, topic: str) -> bool:
        return self._topics.last_level(topic, self._topics.control) is not None

    def answer(self, to: ReplyTo, response: m.Response) -> Sequence[Outgoing]:
        """The answer to a request, in the dialect of the asker."""
        return self.of(to.dialect).answer(to, response)

    def forward(self, runtime: str, dialect: str, command: m.AnyCommand) -> Sequence[Outgoing]:
        """A command, in the dialect in which the runtime registered."""
        return self.of(dialect).forward(runtime, command)

    def of(self, name: str) -> Dialect:
        """The dialect of that name; ours where it is not known (any more)."""
        return self._named.get(name, self._all[0])
