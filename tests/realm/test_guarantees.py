"""What is promised of a channel is what docs/explanation/faults.md shows to hold."""

import pytest

from arts.model import ChannelSpec, Durability
from arts.realm.guarantees import guarantees
from tests.support.builders import World


def of(durability: Durability = Durability.NONE, **fields: object) -> dict[str, str]:
    return guarantees(ChannelSpec("/ch/x", "t", **fields), durability)  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "ways"), [("r", {"in"}), ("w", {"out"}), ("rw", {"in", "out"})])
def test_only_what_the_channel_does(mode: str, ways: set[str]) -> None:
    assert of(mode=mode).keys() == ways


@pytest.mark.parametrize("durability", Durability)
def test_quality_0_promises_nothing(durability: Durability) -> None:
    assert all("at most once" in text for text in of(durability, qos=0, sequenced=True).values())


def test_what_is_not_durable_loses_what_it_had() -> None:
    promised = of()
    assert all("exactly once on a move" in text for text in promised.values())
    assert all("lost when the runtime dies" in text for text in promised.values())


@pytest.mark.parametrize("durability", [Durability.CHECKPOINT, Durability.ALWAYS])
def test_what_is_durable_repeats_unless_it_is_numbered(durability: Durability) -> None:
    assert all("at least once" in text for text in of(durability).values())
    numbered = of(durability, sequenced=True)
    assert "from sequenced writers" in numbered["in"]
    assert "to sequenced readers" in numbered["out"]
    assert not any("at least once" in text for text in numbered.values())


def test_the_document_of_a_module_says_it(world: World) -> None:
    world.create("m", channels=[{"path": "/ch/in", "topic": "t", "mode": "r"}])
    document = world.realm.document("module", "m")
    assert document is not None
    assert document["guarantees"] == {"/ch/in": of(mode="r")}
