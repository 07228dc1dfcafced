"""Programs nobody would write, paused at every safepoint, compared with themselves.

The generator writes nested expressions, so that calls and blocks stand between operands in every
way; all its loops end. Seeds make it reproducible.
"""

import random

import pytest
import wasmtime

from .differential import FORMS, Imports, program, run

FUNCTIONS = 4
LOCALS = 3


class Writer:
    """Writes the text of one function; a function calls only those behind it, and itself."""

    def __init__(self, seed: random.Random, number: int) -> None:
        self.seed = seed
        self.number = number
        self.counters: list[str] = []
        self.labels: list[str] = []
        self.fresh = 0

    def function(self) -> str:
        """The whole function, (i32 depth, i32, f64) -> i64."""
        body = self.statements(3)
        result = self.value("i64", 3)
        counters = "".join(f"(local ${name} i32)" for name in self.counters)
        return f"""(func $f{self.number} (export "f{self.number}") (type $t)
          (local $a i32) (local $b i64) (local $c f64) {counters}
          (if (i32.gt_s (local.get 0) (i32.const 2)) (then (return (i64.const {self.number}))))
          {body} {result})"""

    def name(self, prefix: str) -> str:
        """A name used once."""
        self.fresh += 1
        return f"{prefix}{self.fresh}"

    def statements(self, depth: int) -> str:
        """A few statements."""
        kinds = [self.assign, self.choose, self.repeat, self.leave, self.store, self.switch]
        return " ".join(
            self.seed.choice(kinds if depth else [self.assign])(depth)
            for _ in range(self.seed.randint(1, 3))
        )

    def assign(self, depth: int) -> str:
        """Set a local."""
        target, kind = self.seed.choice([("$a", "i32"), ("$b", "i64"), ("$c", "f64"), ("1", "i32")])
        return f"(local.set {target} {self.value(kind, depth)})"

    def store(self, depth: int) -> str:
        """Write to memory."""
        address = f"(i32.and {self.value('i32', depth - 1)} (i32.const 1020))"
        return f"(i64.store {address} {self.value('i64', depth - 1)})"

    def choose(self, depth: int) -> str:
        """One arm or two."""
        arms = f"(then {self.statements(depth - 1)})"
        if self.seed.random() < 0.6:
            arms += f"(else {self.statements(depth - 1)})"
        return f"(if {self.value('i32', depth - 1)} {arms})"

    def repeat(self, depth: int) -> str:
        """A loop that ends."""
        counter, label = self.name("n"), self.name("l")
        self.counters.append(counter)
        start = f"(local.set ${counter} (i32.const {self.seed.randint(1, 2)}))"
        body = self.statements(depth - 1)
        less = f"(local.tee ${counter} (i32.sub (local.get ${counter}) (i32.const 1)))"
        return f"{start} (loop ${label} {body} (br_if ${label} {less}))"

    def leave(self, depth: int) -> str:
        """A block left in the middle, or not."""
        label = self.name("b")
        self.labels.append(label)
        inside = self.statements(depth - 1)
        branch = f"(br_if ${self.seed.choice(self.labels)} {self.value('i32', depth - 1)})"
        rest = self.statements(depth - 1)
        self.labels.remove(label)
        return f"(block ${label} {inside} {branch} {rest})"

    def switch(self, depth: int) -> str:
        """A jump into one of several blocks."""
        outer, inner = self.name("b"), self.name("b")
        index = f"(i32.and {self.value('i32', depth - 1)} (i32.const 3))"
        return f"""(block ${outer} (block ${inner}
            (br_table ${outer} ${inner} ${outer} {index}))
            {self.statements(depth - 1)})"""

    def value(self, kind: str, depth: int) -> str:
        """An expression of a type."""
        if depth <= 0 or self.seed.random() < 0.2:
            locals_ = {"i32": ["$a", "0", "1"], "i64": ["$b"], "f64": ["$c", "2"]}[kind]
            constant = f"({kind}.const {self.seed.randint(-9, 9)})"
            return self.seed.choice([constant, f"(local.get {self.seed.choice(locals_)})"])
        makers = [self.binary, self.binary, self.picked, self.blocked, self.joined]
        makers.append({"i32": self.asked, "i64": self.called, "f64": self.converted}[kind])
        return self.seed.choice(makers)(kind, depth - 1)

    def binary(self, kind: str, depth: int) -> str:
        """Two operands: what is below the second one must survive it."""
        operation = self.seed.choice(["add", "sub", "mul"])
        return f"({kind}.{operation} {self.value(kind, depth)} {self.value(kind, depth)})"

    def picked(self, kind: str, depth: int) -> str:
        """Both values, then one."""
        left, right = self.value(kind, depth), self.value(kind, depth)
        return f"(select {left} {right} {self.value('i32', depth)})"

    def blocked(self, kind: str, depth: int) -> str:
        """A block with a result, perhaps carried by a branch."""
        label = self.name("r")
        early = f"(br_if ${label} {self.value(kind, depth)} {self.value('i32', depth)})"
        body = self.statements(depth)
        return f"(block ${label} (result {kind}) {early} drop {body} {self.value(kind, depth)})"

    def joined(self, kind: str, depth: int) -> str:
        """An if with a result and a parameter."""
        then, other = self.value(kind, depth), self.value(kind, depth)
        operation = f"{kind}.{self.seed.choice(['add', 'sub'])}"
        condition = self.value("i32", depth)
        return f"""(if (param {kind}) (result {kind}) {self.value(kind, depth)} {condition}
            (then {then} ({operation})) (else ({operation} {other})))"""

    def arguments(self, depth: int) -> str:
        """Arguments of a call one level deeper."""
        deeper = "(i32.add (local.get 0) (i32.const 1))"
        return f"{deeper} {self.value('i32', depth)} {self.value('f64', depth)}"

    def called(self, _kind: str, depth: int) -> str:
        """A call, direct or through the table."""
        target = self.seed.randint(self.number, FUNCTIONS - 1)
        if self.seed.random() < 0.4:
            return f"(call_indirect (type $t) {self.arguments(depth)} (i32.const {target}))"
        return f"(call $f{target} {self.arguments(depth)})"

    def asked(self, _kind: str, depth: int) -> str:
        """A call of the host that may park."""
        return f"(call $ask {self.value('i32', depth)})"

    def converted(self, _kind: str, depth: int) -> str:
        """Another type."""
        return f"(f64.convert_i64_s {self.value('i64', depth)})"


def generated(number: int) -> bytes:
    """A module with ``FUNCTIONS`` functions."""
    seed = random.Random(number)
    functions = " ".join(Writer(seed, index).function() for index in range(FUNCTIONS))
    names = " ".join(f"$f{index}" for index in range(FUNCTIONS))
    return wasmtime.wat2wasm(f"""(module
      (import "env" "ask" (func $ask (param i32) (result i32)))
      (memory 1) (type $t (func (param i32 i32 f64) (result i64)))
      (table funcref (elem {names})) {functions})""")


def parking(parks: bool) -> Imports:
    """A host call that, if it parks, parks once before it answers."""
    waiting = False

    def ask(guest: object, question: int) -> int:
        nonlocal waiting
        waiting = parks and not waiting
        if waiting:
            guest.park()  # type: ignore[attr-defined]
            return -1
        return question ^ 0x55

    return {("env", "ask"): ask}


@pytest.mark.parametrize("number", range(60))
def test_generated_programs(number: int) -> None:
    blocking = [("env", "ask")]
    form = list(FORMS.values())[number // 3 % 4]
    small_loop = (0, 8, 256)[number % 3]
    prepared = program(generated(number), small_loop, number % 2 == 1, blocking, **form)
    for function in range(FUNCTIONS):
        arguments = [0, function * 7, 1.5]
        plain, _ = run(prepared, f"f{function}", arguments, imports=parking(False))
        paused, _ = run(
            prepared, f"f{function}", arguments, 1, parking(True), in_place=number % 4 > 0, most=400
        )
        assert paused == plain
