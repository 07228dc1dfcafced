"""Questions about a planned move, and their answers."""

import msgspec
import pytest

from arts.protocol.plan import Ask, Measured, asked, encode, measured


def test_both_survive_the_way() -> None:
    ask, found = Ask("m", "me"), Measured(5, 4, 1.5, 2e6, 0.5, "little", None)
    assert asked(encode(ask)) == ask
    assert measured(encode(found)) == found


@pytest.mark.parametrize("asker", ["", "a/b", "+", "#", "x" * 65])
def test_an_asker_that_is_no_level_of_a_topic(asker: str) -> None:
    with pytest.raises(ValueError, match="cannot be a level"):
        asked(encode(Ask("m", asker)))


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"module":1,"asker":"a"}', b"\xff"])
def test_what_is_no_question(payload: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        asked(payload)
