"""What an onlooker concludes about the moving box."""

import json
import math

import pytest

from arts.demo.box import STEPS, Sight, step_of


def position(step: int) -> bytes:
    angle = math.tau * step / STEPS
    where = {"x": round(3 * math.cos(angle), 4), "y": 1.0, "z": round(3 * math.sin(angle), 4)}
    return json.dumps({"object_id": "box_1", "data": {"position": where}}).encode()


def seen(steps: list[int]) -> Sight:
    return Sight([position(step) for step in steps], [0.05 * n for n in range(len(steps))])


def test_every_position_is_known() -> None:
    assert [step_of(position(step)) for step in range(2 * STEPS)] == [*range(STEPS)] * 2


@pytest.mark.parametrize(
    "message", [b"", b"{}", b"[]", b'{"data":{"position":{"x":2,"y":1,"z":0}}}', b"\xff"]
)
def test_what_is_no_position(message: bytes) -> None:
    assert step_of(message) is None


def test_a_steady_box() -> None:
    ok, text = seen([*range(STEPS + 5)]).judge(5)
    assert ok
    assert "125 positions, each the next one, in 5 moves; one every 50 ms" in text


@pytest.mark.parametrize("steps", [[0, 1, 3], [0, 1, 1, 2], [0, 2, 1], [1, 2]])
def test_one_that_skips_repeats_or_begins_elsewhere(steps: list[int]) -> None:
    ok, text = seen(steps).judge(5)
    assert not ok
    assert "is not the next one" in text


def test_how_it_starts_is_no_stutter() -> None:
    sight = Sight([position(step) for step in range(4)], [0.0, 1.5, 1.55, 1.6], moving_since=1.4)
    assert "never more than 50 ms apart" in sight.judge(1)[1]


def test_one_that_stands() -> None:
    assert not seen([0]).judge(5)[0]
    assert not seen([0, 1, 2]).judge(0)[0]
