"""Writes expressions of generated programs: operands, calls, blocks that have a value.

Knows the text format, and which labels and locals there are. Does not know statements, but that
a block may hold some.
"""

import random
from collections.abc import Sequence

from .machine import SIZES
from .vocabulary import (
    BINARY,
    CONVERSIONS,
    FUNCTIONS,
    LOCALS,
    ONE_NAN,
    Label,
    signatures,
)  # fmt: skip


class Expressions:
    """Writes what one function computes."""

    def __init__(self, chance: random.Random, features: frozenset[str], number: int) -> None:
        self.chance = chance
        self.features = features
        self.signatures = signatures(features)
        self.number = number
        self.parameters, self.results = self.signatures[number % len(self.signatures)]
        self.kinds = [kind for kind in SIZES if kind != "v128" or "vectors" in features]
        self.labels: list[Label] = []
        self.names = 0
        self.caught = 0
        """How many legacy handlers are around."""

    def statements(self, depth: int) -> str:
        """A few things done one after the other."""
        raise NotImplementedError

    # -- choices ------------------------------------------------------------------------------

    def likely(self, share: float) -> bool:
        """With this probability."""
        return self.chance.random() < share

    def has(self, feature: str) -> bool:
        """Whether the program may use a feature."""
        return feature in self.features

    def name(self) -> str:
        """A new name."""
        self.names += 1
        return f"$n{self.names}"

    def some(self, most: int = 2) -> tuple[str, ...]:
        """A few types."""
        return tuple(self.chance.choice(self.kinds) for _ in range(self.chance.randint(0, most)))

    def literal(self, kind: str) -> str:
        """A constant of a type, without the instruction."""
        number = self.chance.choice([0, 1, 2, 3, 7, -1, 100, 65535, -2147483648])
        return f"i32x4 {number} 5 -9 {number}" if kind == "v128" else str(number)

    def signature(self, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Type of a function."""
        return self.signatures[number % len(self.signatures)]

    def called(self, number: int, depth: int, tail: bool = False) -> str:
        """A call of a function, direct or through a table; nothing if it is too deep."""
        kinds, _ = self.signature(number)
        values = " ".join(self.value(kind, depth - 1) for kind in kinds[1:])
        deeper = "(i32.add (local.get 0) (i32.const 1))"
        prefix = "return_" if tail else ""
        if self.likely(0.4):
            kind = number % len(self.signatures)
            at = f"(i32.const {number})"
            return f"({prefix}call_indirect $table (type $t{kind}) {deeper} {values} {at})"
        return f"({prefix}call $f{number} {deeper} {values})"

    def values(self, kinds: Sequence[str], depth: int) -> str:
        """Several operands: what comes first must survive the others."""
        return " ".join(self.value(kind, depth) for kind in kinds)

    def pops(self, kinds: Sequence[str]) -> str:
        """Operands into locals, or away."""
        return " ".join(
            f"(local.set {self.chance.choice(LOCALS[kind])})" if self.likely(0.8) else "drop"
            for kind in reversed(kinds)
        )

    def drops(self, kinds: Sequence[str]) -> str:
        """Operands away."""
        return "drop " * len(kinds)

    def value(self, kind: str, depth: int) -> str:
        """An expression of a type."""
        if depth <= 0 or self.likely(0.25):
            own = [str(number) for number, its in enumerate(self.parameters) if its == kind]
            constant = f"({kind}.const {self.literal(kind)})"
            local = f"(local.get {self.chance.choice([*LOCALS[kind], *own])})"
            return self.chance.choice([constant, local, local])
        makers = [self.binary, self.binary, self.picked, self.joined, self.converted, self.loaded]
        makers += [self.result, self.result, self.read]
        if self.has("ask"):
            makers.append(self.asked)
        return self.chance.choice(makers)(kind, depth - 1)

    def binary(self, kind: str, depth: int) -> str:
        """Two operands."""
        operation = self.chance.choice(BINARY[kind])
        if self.has(ONE_NAN) and operation.startswith("f64x2"):
            operation = "i16x8.mul"
        left, right = self.value(kind, depth), self.value(kind, depth)
        if "div" in operation or "rem" in operation:
            right = f"({kind}.or {right} ({kind}.const 1))"
        return self.settled(kind, f"({operation} {left} {right})")

    def settled(self, kind: str, value: str) -> str:
        """A float with the one NaN there is, where engines shall agree."""
        floats = self.has(ONE_NAN) and kind in ("f32", "f64")
        return f"(call $one_nan_{kind} {value})" if floats else value

    def converted(self, kind: str, depth: int) -> str:
        """From another type."""
        fitting = [pair for pair in CONVERSIONS[kind] if pair[1] in self.kinds]
        operation, source = self.chance.choice(fitting)
        return self.settled(kind, f"({operation} {self.value(source, depth)})")

    def picked(self, kind: str, depth: int) -> str:
        """Both values, then one."""
        left, right = self.value(kind, depth), self.value(kind, depth)
        typed = f"(result {kind})" if self.likely(0.3) else ""
        return f"(select {typed} {left} {right} {self.value('i32', depth)})"

    def joined(self, kind: str, depth: int) -> str:
        """A block with a result, perhaps carried by a branch."""
        name = self.name()
        self.labels.append(Label(name, (kind,)))
        body = f"{self.statements(depth)} {self.value(kind, depth)}"
        self.labels.pop()
        return f"(block {name} (result {kind}) {body})"

    def loaded(self, kind: str, depth: int) -> str:
        """From memory."""
        return f"({kind}.load {self.memory()} {self.address(depth)})"

    def read(self, kind: str, depth: int) -> str:
        """From a global, or by setting a local."""
        if kind == "v128" or self.likely(0.5):
            return f"(local.tee {self.chance.choice(LOCALS[kind])} {self.value(kind, depth)})"
        return f"(global.get $g_{kind})"

    def result(self, kind: str, depth: int) -> str:
        """Of a call; of several results the others go into locals."""
        fitting = [n for n in range(FUNCTIONS) if kind in self.signature(n)[1]]
        if not fitting:
            return self.converted(kind, depth)
        number = self.chance.choice(fitting)
        results = self.signature(number)[1]
        at = results.index(kind)
        call = self.called(number, depth)
        if len(results) == 1:
            return call
        behind = self.pops(results[at + 1 :])
        # Operands before the wanted one stay below it: a block takes them away.
        return f"""(block (result {kind}) {call} {behind}
          (local.set {LOCALS[kind][0]}) {self.pops(results[:at])} (local.get {LOCALS[kind][0]}))"""

    def asked(self, kind: str, depth: int) -> str:
        """A call of the host that may have to wait."""
        if kind == "i64":
            values = f"{self.value('i64', depth)} {self.value('i32', depth)}"
            return f"(call $ask64 {values})"
        answer = f"(call $ask {self.value('i32', depth)})"
        if kind == "i32" and self.has("address") and self.likely(0.5):
            values = self.value("i32", depth)
            answer = f"(call_indirect $table (type $asking) {values} (i32.const {FUNCTIONS}))"
        convert = {"i32": "i32.clz", "f32": "f32.convert_i32_s", "f64": "f64.convert_i32_s"}
        return f"({convert.get(kind, 'i32x4.splat')} {answer})"
