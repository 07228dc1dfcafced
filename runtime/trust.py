"""Whether the broker may be given the sessions of modules: tried once, when the first needs one.

Knows no broker; what is tried is handed in, and None means that the operator answers for it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from arts.errors import BusError
from arts.log import get_logger

log = get_logger(__name__)

Probe = Callable[[], Awaitable[str | None]]
"""What is wrong with the broker, None if nothing. Raises ``BusError`` when there is no telling."""


class Trust:
    """A verdict, remembered as long as the process lives."""

    def __init__(self, probe: Probe | None) -> None:
        self._probe = probe
        self._reason: str | None = None
        self._one_at_a_time = asyncio.Lock()

    async def require(self) -> None:
        """Raises ``BusError`` at a broker that cannot hand sessions over.

        If there is no telling, this module may start, and the next one asks again.
        """
        async with self._one_at_a_time:
            if self._probe is not None:
                try:
                    self._reason, self._probe = await self._probe(), None
                except BusError as error:
                    log.warning("broker.not_probed", error=str(error))
        if self._reason is not None:
            raise BusError(
                f"the broker cannot hand over a module's session: {self._reason}; "
                "a runtime with --trust-broker takes the module all the same"
            )
