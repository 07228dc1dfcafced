"""How things are shown to people: pure functions."""

import pytest
import typer
from rich.console import Console

from arts.cli import listing
from arts.cli.modules import parse_channel
from arts.cli.serve import parse_labels
from arts.cli.streams import render_entry
from arts.errors import SettingsError


def text(renderable: object) -> str:
    """What a terminal would show."""
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def module(**fields: object) -> dict[str, object]:
    """A module's document."""
    return {
        "type": "module",
        "uuid": "0123456789abcdef",
        "name": "c[bold]1",
        "state": "running",
        "parent": {"uuid": "r1", "name": "runtime-1"},
        "generation": 3,
        "migration": None,
        "exit_code": None,
        "detail": None,
        "reasons": {},
        "stats": None,
    } | fields


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (78_980, "79 kB"), (1_310_720, "1.3 MB"),
     (5_000_000_000, "5.0 GB"), (10**13, "10000 GB")],
)  # fmt: skip
def test_size(count: int, shown: str) -> None:
    assert listing.size(count) == shown


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ""),
        ({"exit_code": 0}, "exit code 0"),
        ({"detail": "unreachable"}, "unreachable"),
        ({"reasons": {"rt-a": "full", "rt-b": "no api"}}, "rt-a: full; rt-b: no api"),
        ({"migration": {"phase": "freezing", "target": {"name": "rt-b"}}}, "freezing, to rt-b"),
        ({"migration": {"phase": "freezing", "target": {"uuid": "u"}}}, "freezing, to u"),
        ({"migration": {"phase": "freezing", "target": None}}, "freezing, to None"),
    ],
)
def test_note(fields: dict[str, object], shown: str) -> None:
    assert listing.note(module(**fields)) == shown


def test_the_realm_as_tables() -> None:
    stats = {"cpu_usage_percent": 12.3, "mem_usage": 131_072}
    load = {"cpu_percent": 50.0, "memory_percent": 25.0, "memory_available_bytes": 1}
    runtime = {"name": "rt", "uuid": "r1", "state": "lost", "nmodules": 1, "max_nmodules": 3,
               "engine": "", "load": load}  # fmt: skip
    shown = text(
        listing.render_realm(
            {"runtimes": [runtime], "modules": [module(stats=stats), module(parent=None)]}
        )
    )
    for word in ("lost", "1/3", "50 %", "25 %", "c[bold]1", "12 %", "131 kB", "01234567"):
        assert word in shown
    assert "0123456789" not in shown


def test_one_thing_and_its_story() -> None:
    story = [{"at": 0.25, "what": "module.started"}]
    shown = text(listing.render_document(module(story=story, args=["a", "b"], created_at=0.0)))
    assert "module.started" in shown
    assert "c[bold]1" in shown
    assert "uuid=r1, name=runtime-1" in shown
    assert "exit_code" not in shown


def test_a_decision() -> None:
    candidates = [
        {"runtime": "r1", "name": "rt-a", "reason": None, "score": 1.0},
        {"runtime": "r2", "name": "rt-b", "reason": "full [3/3]", "score": None},
        {"runtime": "r3", "name": "rt-c", "reason": None, "score": 2.5},
    ]
    shown = text(
        listing.render_decision(
            {"name": "c1", "state": "running", "policy": "spread", "chosen": "r1",
             "candidates": candidates}
        )
    )  # fmt: skip
    rows = [line.split() for line in shown.splitlines()]
    assert ["rt-a", "1", "chosen"] in rows
    assert ["rt-b", "-", "full", "[3/3]"] in rows
    assert ["rt-c", "2.5", "ok"] in rows


def test_an_entry_of_the_journal() -> None:
    shown = text(render_entry({"at": 0.5, "event": "module.placed", "runtime": "r", "x": None}))
    assert ".500 module.placed" in shown
    assert "runtime=r" in shown
    assert "x=" not in shown


@pytest.mark.parametrize(
    ("written", "path", "topic", "mode", "sequenced"),
    [
        ("/ch/in=a/b:r", "/ch/in", "a/b", "r", False),
        ("/ch/out=a/b:w", "/ch/out", "a/b", "w", False),
        ("/ch/x=a/b", "/ch/x", "a/b", "rw", False),
        ("/ch/x=a:b", "/ch/x", "a:b", "rw", False),
        ("/ch/x=a:rw", "/ch/x", "a", "rw", False),
        ("/ch/x=a:r:sequenced", "/ch/x", "a", "r", True),
        ("/ch/x=a:sequenced", "/ch/x", "a", "rw", True),
    ],
)
def test_channels(written: str, path: str, topic: str, mode: str, sequenced: bool) -> None:
    channel = {"path": path, "topic": topic, "mode": mode, "sequenced": sequenced}
    assert parse_channel(written) == channel


def test_channels_that_are_none() -> None:
    with pytest.raises(typer.BadParameter):
        parse_channel("/ch/x")


def test_labels() -> None:
    assert parse_labels(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    assert parse_labels([]) == {}
    with pytest.raises(SettingsError, match="'a'"):
        parse_labels(["a"])
