"""The example programs do what their READMEs say, run by a runtime that is not ours."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plain_wasi import Run, module_path

RUNNER = Path(__file__).with_name("wasi_process.py")


def messages(run: Run, channel: str) -> Iterator[dict[str, Any]]:
    """The JSON documents that were written to a channel file one after the other."""
    text = (run.files / channel).read_text()
    decoder = json.JSONDecoder()
    while text:
        message, end = decoder.raw_decode(text)
        yield message
        text = text[end:]


def test_hello_prints_arguments_and_environment(run: Callable[..., Run]) -> None:
    ended = run("hello", "one", "two words", env={"SCENE": "public/example", "EMPTY": ""})
    assert ended.code == 0
    assert ended.lines == [
        "hello",
        "arg 0: hello",
        "arg 1: one",
        "arg 2: two words",
        "env SCENE=public/example",
        "env EMPTY=",
    ]


def test_hello_exits_with_the_code_asked_for(run: Callable[..., Run]) -> None:
    assert run("hello", "--exit", 42).code == 42


def test_counter_counts_to_its_limit(run: Callable[..., Run]) -> None:
    ended = run("counter", 1, 3)
    assert (ended.code, ended.out) == (0, "count 1\ncount 2\ncount 3\n")


def test_counter_without_a_limit_is_endless_and_flushes_each_line(run: Callable[..., Run]) -> None:
    ended = run("counter", 0, fuel=500_000)
    assert ended.code is None
    assert len(ended.lines) > 100
    assert ended.lines == [f"count {i}" for i in range(1, len(ended.lines) + 1)]


def test_echo_writes_what_it_reads(run: Callable[..., Run]) -> None:
    message = bytes(range(256)) * 300  # more than one read, and not text
    ended = run("echo", files={"ch/in": message, "ch/out": b""})
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (ended.files / "ch/out").read_bytes() == message


def test_echo_takes_its_channels_as_arguments(run: Callable[..., Run]) -> None:
    ended = run("echo", "/ch/a", "/ch/b", files={"ch/a": b"hi", "ch/b": b""})
    assert ended.code == 0
    assert (ended.files / "ch/b").read_bytes() == b"hi"


def test_echo_without_a_channel_complains_and_fails(run: Callable[..., Run]) -> None:
    ended = run("echo", files={"ch/in": b"hi"})
    assert (ended.code, ended.out) == (1, "")
    assert "/ch/out" in ended.err


def test_queens_counts_solutions_and_nodes_by_column(run: Callable[..., Run]) -> None:
    ended = run("queens", 8)
    assert ended.code == 0
    assert len(ended.lines) == 9
    assert ended.lines[3] == "column 4/8: solutions 46 nodes 1028"
    assert ended.lines[-1] == "solutions 92 nodes 2056"


def test_queens_refuses_an_impossible_board(run: Callable[..., Run]) -> None:
    assert run("queens", 0).code == 2


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        ("a b\n\nc", ["got: a b", "got: ", "got: c"]),
        ("a\nquit\nb\n", ["got: a"]),
        ("", []),
    ],
)
def test_stdinread_answers_lines(run: Callable[..., Run], stdin: str, expected: list[str]) -> None:
    ended = run("stdinread", stdin=stdin)
    assert (ended.code, ended.lines) == (0, expected)


def test_poll_ends_with_its_input(run: Callable[..., Run]) -> None:
    ended = run("poll", stdin="a\nb")
    assert (ended.code, ended.lines) == (0, ["line: a", "line: b"])


def test_poll_ticks_while_nothing_is_typed() -> None:
    command = [sys.executable, str(RUNNER), str(module_path("poll")), "5"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            seen = [process.stdout.readline(), process.stdout.readline()]
            process.stdin.write("a\nb\n")
            while "line: b\n" not in seen:
                seen.append(process.stdout.readline())
                assert seen[-1], "the program ended before its input"
            process.stdin.write("quit\nnever read\n")
            seen += process.stdout.readlines()
            assert process.wait() == 0
        finally:
            process.kill()
    ticks = [line for line in seen if line.startswith("tick")]
    assert ticks[:2] == seen[:2]
    assert ticks == [f"tick {i}\n" for i in range(1, len(ticks) + 1)]
    assert [line for line in seen if line not in ticks] == ["line: a\n", "line: b\n"]


def test_moving_box_creates_a_box_and_moves_it_on_a_circle(run: Callable[..., Run]) -> None:
    ended = run("moving-box", 0, files={"ch/scene": b""}, fuel=4_000_000)
    create, *updates = messages(ended, "ch/scene")
    assert (create["object_id"], create["action"], create["type"]) == ("box_1", "create", "object")
    assert create["data"]["object_type"] == "box"
    assert create["data"]["material"] == {"color": "#2266cc"}
    assert len(updates) > 120
    for step, update in enumerate(updates, start=1):
        angle = 2 * math.pi * step / 120
        position = {"x": 3 * math.cos(angle), "y": 1.0, "z": 3 * math.sin(angle)}
        assert update == {
            "object_id": "box_1",
            "action": "update",
            "type": "object",
            "data": {"object_type": "box", "position": pytest.approx(position, abs=1e-4)},
        }


def test_moving_box_takes_an_object_id(run: Callable[..., Run]) -> None:
    ended = run("moving-box", 0, "box_7", files={"ch/scene": b""}, fuel=100_000)
    assert {message["object_id"] for message in messages(ended, "ch/scene")} == {"box_7"}


def test_moving_box_without_a_channel_fails(run: Callable[..., Run]) -> None:
    ended = run("moving-box", 0)
    assert ended.code == 1
    assert "/ch/scene" in ended.err
