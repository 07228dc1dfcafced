"""What a move would do, without moving anything."""

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arts.protocol.plan import Ask, Measured, encode, measured

if TYPE_CHECKING:
    from arts.client import Client

_PATIENCE: Final = 15.0
"""Seconds for the runtime to look at the memory of a module twice, and to try its line."""


async def plan(client: "Client", key: str, to: str | None = None) -> dict[str, Any]:
    """What ``Client.move`` would do now. Raises what that would, before it begins.

    ``{"module", "from", "to", "way", "why", "measured"}``: ``way`` is ``pre-copy``,
    ``stop and copy``, ``handed over`` or None (not known); ``measured`` is a ``Measured``.
    """
    planned = await client.query("plan", key, target=to)
    runtime, measures = planned.pop("source"), planned.pop("measures")
    if planned["way"] == "handed over":
        found = Measured(unknown="the two runtimes see to it alone")
    elif not measures:
        found = Measured(unknown=f"runtime {planned['from']} cannot measure it")
    else:
        found = await _measure(client, runtime, planned["module"]["uuid"])
    if found.unknown is None:
        planned["way"] = "stop and copy" if found.stops_first else "pre-copy"
    planned["why"] = found.unknown or found.stops_first or "its memory leaves while it runs"
    return planned | {"measured": msgspec.to_builtins(found)}


async def _measure(client: "Client", runtime: str, module: str) -> Measured:
    ask = Ask(module, uuid.uuid4().hex)
    topics = client.topics
    async with client.messages(topics.measured(runtime, ask.asker)) as answers:
        client.publish(topics.measure(runtime), encode(ask))
        try:
            async with asyncio.timeout(_PATIENCE):
                return measured((await anext(answers)).payload)
        except TimeoutError:
            return Measured(unknown="its runtime did not answer in time")
        except msgspec.MsgspecError as error:
            return Measured(unknown=f"its runtime's answer cannot be read: {error}")
