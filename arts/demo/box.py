"""The box that moves on a circle: whether somebody who looks at it would notice its moves."""

import asyncio
import itertools
import json
import math
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from arts.bus.base import Received

INTERVAL: Final = 0.05
"""Seconds between two positions, as ``moving-box`` has them."""
STEPS: Final = 120
"""Positions on the circle."""


@dataclass
class Sight:
    """What was seen of the box: each message, and when it came (seconds)."""

    messages: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    moving_since: float = 0.0
    """When its first move was asked for: that it starts in a hurry with others is no move."""

    async def look(self, messages: AsyncIterator[Received]) -> None:
        """Watch until cancelled."""
        clock = asyncio.get_running_loop().time
        async for message in messages:
            self.messages.append(message.payload)
            self.times.append(clock())

    def judge(self, moves: int) -> tuple[bool, str]:
        """Each position the next one on the circle; and, in words, how evenly they came.

        How evenly decides nothing: that depends on what else the machine does.
        """
        for number, message in enumerate(self.messages):
            if step_of(message) != number % STEPS:
                return False, f"position {number + 1} is not the next one: {message.decode()}"
        times = [time for time in self.times if time >= self.moving_since]
        if len(times) < 2 or not moves:
            return False, "it did not move"
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        usual, longest = statistics.median(gaps) * 1000, max(gaps) * 1000
        return True, (
            f"{len(self.messages)} positions, each the next one, in {moves} moves; "
            f"one every {usual:.0f} ms, never more than {longest:.0f} ms apart"
        )


def step_of(message: bytes) -> int | None:
    """Which position on the circle an object message says; None if it is none."""
    try:
        position = json.loads(message)["data"]["position"]
        x, y, z = (float(position[axis]) for axis in "xyz")
    except (ValueError, TypeError, KeyError):
        return None
    turned = math.atan2(z, x) / math.tau * STEPS
    on_circle = abs(math.hypot(x, z) - 3) < 0.001 and y == 1 and abs(turned - round(turned)) < 0.01
    return round(turned) % STEPS if on_circle else None
