"""What existing clients send and what they must get back, row by row, byte by byte.

Through a real supervisor in memory; tests/integration/test_wire_over_brokers.py has the same rows
over real brokers.
"""

import pytest

from tests.protocol.contract import all_rows
from tests.support.wire import in_memory, wire

ROWS = all_rows()


@pytest.mark.parametrize("name", ROWS)
async def test_row(name: str) -> None:
    async with wire(in_memory()) as connected:
        await ROWS[name](connected)
