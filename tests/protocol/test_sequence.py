"""Numbers in front of messages: read back, foreign ones untouched, none heard twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arts.protocol import sequence
from arts.protocol.sequence import Heard, Hearing, Stamp, read, stamped

COUNTS = st.integers(0, 2**32 - 1)


@given(st.builds(Stamp, st.text(max_size=40), COUNTS, COUNTS, COUNTS), st.binary())
def test_what_is_stamped_is_read_back(stamp: Stamp, payload: bytes) -> None:
    assert read(stamped(stamp, payload)) == (stamp, payload)


@given(st.binary())
def test_what_has_no_header_passes_unchanged(payload: bytes) -> None:
    assert read(payload) == (None, payload)


def test_what_only_looks_like_a_header_passes_unchanged() -> None:
    whole = stamped(Stamp("module", 1, 2, 3), b"")
    version = len(sequence._MAGIC)
    for damaged in (
        whole[:-1],
        whole[:-1] + b"\xff",
        whole[:version] + b"\2" + whole[version + 1 :],
        whole[: sequence._HEADER.size - 1],
    ):
        assert read(damaged) == (None, damaged)


def test_numbers_are_heard_once_whatever_the_generation() -> None:
    hearing = Hearing()
    assert hearing.is_new("t", Stamp("m", 1, 1, 1))
    assert hearing.is_new("t", Stamp("m", 1, 1, 5))
    assert not hearing.is_new("t", Stamp("m", 1, 2, 4)), "it went on from a checkpoint"
    assert not hearing.is_new("t", Stamp("m", 1, 2, 5))
    assert hearing.is_new("t", Stamp("m", 1, 2, 6))
    assert hearing.is_new("u", Stamp("m", 1, 2, 1)), "another topic"
    assert hearing.is_new("t", Stamp("n", 1, 2, 1)), "another module"


def test_who_begins_anew_is_heard_and_its_ghost_is_not() -> None:
    hearing = Hearing([Heard("t", Stamp("m", 1, 2, 9))])
    assert hearing.is_new("t", Stamp("m", 3, 3, 1))
    assert not hearing.is_new("t", Stamp("m", 1, 2, 10))
    assert not hearing.is_new("t", Stamp("m", 3, 3, 1))


def test_what_is_left_is_heard_again() -> None:
    hearing = Hearing()
    stamps = [Stamp("m", 1, 1, number) for number in (2, 4, 7)]
    for stamp in stamps:
        hearing.is_new("t", stamp)
    left = [Heard("t", stamp) for stamp in stamps[1:]]
    other = Hearing(hearing.without(left))
    assert [other.is_new("t", stamp) for stamp in stamps] == [False, True, True]


def test_writers_are_remembered_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "_MAX_WRITERS", 2)
    hearing = Hearing()
    for name in "abc":
        hearing.is_new("t", Stamp(name, 1, 1, 1))
    assert [heard.stamp.module for heard in hearing.without(())] == ["b", "c"]
