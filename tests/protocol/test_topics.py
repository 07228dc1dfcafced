"""The topics of a realm."""

import pytest

from arts.protocol.topics import Topics, is_safe_id, is_sayable

T = Topics("realm")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (T.registry, "realm/proc/reg"),
        (T.control, "realm/proc/control"),
        (T.control_of("r"), "realm/proc/control/r"),
        (T.keepalive, "realm/proc/keepalive"),
        (T.keepalive_of("r"), "realm/proc/keepalive/r"),
        (T.events_of("+"), "realm/proc/events/+"),
        (T.reply("c"), "realm/proc/reply/c"),
        (T.journal, "realm/proc/log/realm"),
        (T.supervisor_state, "realm/proc/state/supervisor"),
        (T.runtime_state("r"), "realm/proc/state/runtime/r"),
        (T.module_state("m"), "realm/proc/state/module/m"),
        (T.scene("public/lobby"), "realm/proc/scene/public/lobby"),
        (T.stdio("stdout", "m"), "realm/proc/debug/stdout/m"),
        (T.snapshot_data("x"), "realm/proc/snapshot/x/data"),
        (T.snapshot_credit("x"), "realm/proc/snapshot/x/credit"),
        (T.program_request("d"), "realm/proc/programs/d/get"),
        (T.program_data("d", "r"), "realm/proc/programs/d/data/r"),
        (T.program_credit("d", "r"), "realm/proc/programs/d/credit/r"),
    ],
)
def test_names(topic: str, expected: str) -> None:
    assert topic == expected


def test_the_level_below() -> None:
    assert T.last_level("realm/proc/control/r", T.control) == "r"
    for other in ("realm/proc/control", "realm/proc/control/", "realm/proc/control/a/b", "x/r"):
        assert T.last_level(other, T.control) is None


@pytest.mark.parametrize("text", ["a", "A-b_c.d:e@f", "0", "x" * 64, "-"])
def test_ids_that_may_be_a_level(text: str) -> None:
    assert is_safe_id(text)


@pytest.mark.parametrize("text", ["", "a/b", "+", "#", "a b", "é", "x" * 65, ".", "..", "a\n"])
def test_ids_that_may_not(text: str) -> None:
    assert not is_safe_id(text)


def test_topics_that_can_be_published_to() -> None:
    assert is_sayable("realm/proc/reply/me")
    assert not any(map(is_sayable, ["", "a/+", "a/#", "a\0", "x" * 1025]))
