"""A plan says what a move would say, and changes nothing."""

from tests.support.builders import NATIVE, UNMOVABLE, World


def planned(world: World, target: str | None = None) -> dict[str, object]:
    """The answer to a plan for module m."""
    details: dict[str, object] = world.ask("plan", "m", target=target).response.details
    return details


def test_where_it_would_go(pair: World) -> None:
    plan = planned(pair)
    assert (plan["from"], plan["to"]) == ("runtime a", "runtime b")
    assert (plan["way"], plan["source"], plan["measures"]) == (None, "a", False)
    assert pair.where("m") == ("a", 1)
    assert pair.phase("m") is None


def test_where_it_is_wanted(pair: World) -> None:
    pair.register("c")
    assert planned(pair, "c")["to"] == "runtime c"


def test_whether_its_runtime_measures(world: World) -> None:
    world.register("a", features=NATIVE | {"measure"})
    world.roaming("m", on="a")
    world.register("b")
    assert planned(world)["measures"] is True


def test_runtimes_that_hand_over(world: World) -> None:
    for name in "ab":
        world.register(name, features=frozenset({"events", "handover"}))
        if name == "a":
            world.roaming("m", on="a")
    assert planned(world, "b")["way"] == "handed over"


def test_what_a_move_would_refuse(pair: World) -> None:
    for key, target in (("x", None), ("m", "x"), ("m", "a")):
        assert pair.ask("plan", key, target=target).error == pair.move(key, target).error


def test_what_cannot_be_moved(world: World) -> None:
    world.register("a")
    world.create("m")
    world.fetched("m", UNMOVABLE)
    world.report("started", "m")
    world.register("b")
    assert "uses threads" in world.ask("plan", "m").error[1]
