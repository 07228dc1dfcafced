"""A world for each test; at the end it must be sound."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.builders import ABLE, DURABLE, World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Makes worlds with other settings than usual."""
    worlds: list[World] = []

    def make(**settings: Any) -> World:
        worlds.append(World(**settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.realm.validate()
        world.check_answers()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """An empty realm."""
    return make_world()


@pytest.fixture
def pair(world: World) -> World:
    """A realm in which module m runs on runtime a, and runtime b is empty."""
    world.register("a")
    world.roaming("m", on="a")
    world.register("b")
    return world


@pytest.fixture
def durable_pair(world: World) -> World:
    """A durable module m runs on a; b is empty."""
    world.register("a", features=ABLE)
    world.roaming("m", on="a", **DURABLE)
    world.register("b", features=ABLE)
    return world
