"""Writes the statements of a generated program, one function at a time.

Knows the text format, and which labels, locals and features there are. Does not know the rest of
the program, but for the types of its functions.
"""

from .expressions import Expressions
from .machine import SIZES
from .vocabulary import FUNCTIONS, LOCALS, TAGS, Label, declared


class Writer(Expressions):
    """Writes one function."""

    def function(self) -> str:
        """The function's text."""
        parameters = " ".join(self.parameters)
        results = " ".join(self.results)
        declared = " ".join(f"(local {name} {kind})" for kind in SIZES for name in LOCALS[kind])
        if "references" in self.features:
            declared += " (local $x exnref) (local $y exnref)"
        leave = " ".join(f"({kind}.const {self.literal(kind)})" for kind in self.results)
        body = self.statements(self.chance.choice((0, 1, 1, 2, 2, 3, 4))) + self.ending()
        return f"""(func $f{self.number} (export "f{self.number}") (param {parameters})
          (result {results}) {declared}
          (if (i32.eqz (call $burn)) (then (return {leave})))
          {body})"""

    # -- statements ---------------------------------------------------------------------------

    def statements(self, depth: int) -> str:
        """A few things done one after the other."""
        return " ".join(self.statement(depth) for _ in range(self.chance.randint(1, 3)))

    def statement(self, depth: int) -> str:
        """One thing done."""
        if depth <= 0:
            return self.assign(0)
        makers = [
            self.assign, self.assign, self.store, self.loop, self.loop, self.choose, self.block,
            self.jump, self.jump, self.switch, self.call, self.call, self.call, self.export,
        ]  # fmt: skip
        if self.has("exceptions"):
            makers += [self.attempt, self.attempt, self.throw]
        if self.has("references"):
            makers += [self.keep, self.keep, self.keep, self.rethrow]
        if self.has("legacy"):
            makers += [self.legacy, self.legacy, self.legacy_rethrow, self.throw]
        if self.has("tails"):
            makers += [self.tail]
        if self.has("tables"):
            makers += [self.change_table, self.change_table]
        if self.has("growth"):
            makers += [self.grow]
        if self.has("segments"):
            makers += [self.segment]
        return self.chance.choice(makers)(depth - 1)

    def assign(self, depth: int) -> str:
        """A local gets a value; that of the depth stays."""
        kind = self.chance.choice(self.kinds)
        own = [str(n) for n, its in enumerate(self.parameters) if n and its == kind]
        target = self.chance.choice([*LOCALS[kind], *own])
        return f"(local.set {target} {self.value(kind, depth)})"

    def export(self, depth: int) -> str:
        """A global gets a value."""
        kind = self.chance.choice([kind for kind in self.kinds if kind != "v128"])
        return f"(global.set $g_{kind} {self.value(kind, depth)})"

    def store(self, depth: int) -> str:
        """Memory gets a value."""
        kind = self.chance.choice(self.kinds)
        value = self.value(kind, depth)
        return f"({kind}.store {self.memory()} {self.address(depth)} {value})"

    def memory(self) -> str:
        """One of the memories."""
        return "$second" if self.has("memories") and self.likely(0.4) else "$first"

    def address(self, depth: int) -> str:
        """An address in bounds."""
        at = f"(i32.and {self.value('i32', depth)} (i32.const 4088))"
        return f"(i64.extend_i32_u {at})" if self.has("memory64") else at

    def place(self, number: int) -> str:
        """A constant address or size."""
        return f"({'i64' if self.has('memory64') else 'i32'}.const {number})"

    def grow(self, _depth: int) -> str:
        """More memory, and what there is of it."""
        memory = self.memory()
        size = f"(memory.size {memory})"
        if self.has("memory64"):
            size = f"(i32.wrap_i64 {size})"
        grown = f"(drop (memory.grow {memory} {self.place(1)}))" if self.likely(0.5) else ""
        return f"{grown} (local.set $i {size})"

    def segment(self, _depth: int) -> str:
        """Bulk memory, with segments that may have been dropped."""
        to, source, size = (self.chance.randint(0, 40) for _ in range(3))
        return self.chance.choice(
            [
                f"(memory.init $first $data {self.place(to)} (i32.const 1) (i32.const 4))",
                f"(memory.init $first $other {self.place(to)} (i32.const 0) (i32.const 0))",
                "(data.drop $other)",
                f"(memory.copy $first $first {self.place(to)} {self.place(source)} "
                f"{self.place(size)})",
                f"(memory.fill $first {self.place(to)} {self.value('i32', 1)} {self.place(size)})",
            ]
        )

    def loop(self, depth: int) -> str:
        """Around a few times, with or without parameters, and often with more jumps back."""
        name = self.name()
        kinds = self.some() if self.has("parameters") and self.likely(0.6) else ()
        results = self.some() if self.likely(0.3) else ()
        self.labels.append(Label(name, kinds, True))
        inside = f"{self.pops(kinds)} {self.statements(depth)}"
        again = f"(br_if {name} {self.values(kinds, depth)} (call $burn)) {self.drops(kinds)}"
        ending = self.values(results, depth)
        self.labels.pop()
        return f"""(loop {name} {declared(kinds, results)} {inside} {again} {ending})
          {self.pops(results)}""".replace(
            f"(loop {name}", f"{self.values(kinds, depth)} (loop {name}", 1
        )

    def choose(self, depth: int) -> str:
        """One way or the other."""
        name, kinds, results = self.name(), self.given(), self.some()
        condition = self.value("i32", depth)
        operands = self.values(kinds, depth)
        self.labels.append(Label(name, results))
        arms = [
            f"{self.pops(kinds)} {self.statements(depth)} {self.values(results, depth)}"
            for _ in range(2)
        ]
        self.labels.pop()
        return f"""{operands} (if {name} {declared(kinds, results)} {condition}
          (then {arms[0]}) (else {arms[1]})) {self.pops(results)}"""

    def given(self) -> tuple[str, ...]:
        """Parameters of a block."""
        return self.some() if self.has("parameters") and self.likely(0.4) else ()

    def block(self, depth: int) -> str:
        """Something to jump out of."""
        name, kinds, results = self.name(), self.given(), self.some()
        operands = self.values(kinds, depth)
        self.labels.append(Label(name, results))
        inside = f"{self.pops(kinds)} {self.statements(depth)} {self.values(results, depth)}"
        self.labels.pop()
        return f"{operands} (block {name} {declared(kinds, results)} {inside}) {self.pops(results)}"

    def jump(self, depth: int) -> str:
        """Out of a block, or back to a loop: perhaps, or for sure."""
        if not self.labels:
            return self.assign(depth)
        label = self.chance.choice(self.labels)
        values = self.values(label.kinds, depth)
        if self.likely(0.15):
            return self.guarded(label.loop, f"(br {label.name} {values})")
        condition = self.value("i32", depth)
        if label.loop:
            condition = f"(select {condition} (i32.const 0) (call $burn))"
        return f"(br_if {label.name} {values} {condition}) {self.drops(label.kinds)}"

    def guarded(self, loops: bool, code: str) -> str:
        """Code that may go back to a loop, while the supply lasts."""
        return f"(if (call $burn) (then {code}))" if loops else code

    def switch(self, depth: int) -> str:
        """To one of several labels that take the same."""
        if not self.labels:
            return self.block(depth)
        first = self.chance.choice(self.labels)
        fitting = [label for label in self.labels if label.kinds == first.kinds]
        chosen = [self.chance.choice(fitting) for _ in range(self.chance.randint(1, 4))]
        values = self.values(first.kinds, depth)
        index = f"(i32.and {self.value('i32', depth)} (i32.const 3))"
        table = f"(br_table {' '.join(label.name for label in chosen)} {values} {index})"
        code = self.guarded(any(label.loop for label in chosen), table)
        return code if self.likely(0.3) else f"(if {self.value('i32', depth)} (then {code}))"

    def call(self, depth: int) -> str:
        """A call for its effects."""
        number = self.chance.randrange(FUNCTIONS)
        _, results = self.signature(number)
        return f"{self.called(number, depth)} {self.pops(results)}"

    def tail(self, depth: int) -> str:
        """A tail call, now and then."""
        fitting = [n for n in range(FUNCTIONS) if self.signature(n)[1] == self.results]
        call = self.called(self.chance.choice(fitting), depth, tail=True)
        return f"(if {self.value('i32', depth)} (then {call}))"

    def ending(self) -> str:
        """What the function returns."""
        if self.has("tails") and self.likely(0.5):
            fitting = [n for n in range(FUNCTIONS) if self.signature(n)[1] == self.results]
            return self.called(self.chance.choice(fitting), 2, tail=True)
        return self.values(self.results, 3)

    def change_table(self, _depth: int) -> str:
        """Another function in the table, or more table."""
        at, source, function = (self.chance.randrange(FUNCTIONS) for _ in range(3))
        return self.chance.choice(
            [
                f"(table.set $table (i32.const {at}) (ref.func $f{function}))",
                f"(table.set $table (i32.const {at}) (table.get $table (i32.const {source})))",
                f"(local.set $j (table.grow $table (ref.func $f{function}) (i32.const 1)))",
                f"(table.copy $table $table (i32.const {at}) (i32.const {source}) (i32.const 1))",
                f"(table.init $table $elements (i32.const {at}) (i32.const 0) (i32.const 1))",
                f"(table.fill $table (i32.const {at}) (ref.func $f{function}) (i32.const 1))",
                "(local.set $i (table.size $table))",
                "(elem.drop $elements)" if self.likely(0.2) else "(nop)",
            ]
        )

    # -- exceptions ---------------------------------------------------------------------------

    def throw(self, depth: int) -> str:
        """Perhaps an exception."""
        tag = self.chance.choice(list(TAGS))
        thrown = f"(throw {tag} {self.values(TAGS[tag], depth)})"
        return thrown if self.likely(0.1) else f"(if {self.value('i32', depth)} (then {thrown}))"

    def attempt(self, depth: int) -> str:
        """Something whose exceptions are caught, with what they carry."""
        return self.caught_by(depth, "")

    def keep(self, depth: int) -> str:
        """Something whose exceptions are caught, and kept for later."""
        return self.caught_by(depth, self.chance.choice(["$x", "$y"]))

    def caught_by(self, depth: int, kept: str) -> str:
        """Something whose exceptions are caught; the reference goes to a local, if named."""
        out, handler, name = self.name(), self.name(), self.name()
        tag = self.chance.choice([None, *TAGS])
        payload = TAGS[tag] if tag else ()
        kinds, results = self.given(), self.some()
        clause = "catch" if tag else "catch_all"
        clauses = f"({clause}{'_ref' if kept else ''} {tag or ''} {handler})"
        if tag and not kept and self.likely(0.5):
            clauses += f" (catch_all {out})" if not results else ""
        operands = self.values(kinds, depth)
        self.labels.append(Label(out, results))
        self.labels.append(Label(name, results))
        inside = f"{self.pops(kinds)} {self.statements(depth)} {self.values(results, depth)}"
        self.labels.pop()
        carried = " ".join([*payload, *["exnref"] * bool(kept)])
        reference = f"(local.set {kept})" if kept else ""
        after = f"{reference} {self.pops(payload)} {self.statements(depth)}"
        again = ""
        if kept and self.likely(0.5):
            again = f"(if {self.value('i32', 1)} (then (throw_ref (local.get {kept}))))"
        ending = self.values(results, depth)
        self.labels.pop()
        return f"""(block {out} {declared((), results)}
          (block {handler} (result {carried})
            {operands}
            (try_table {name} {declared(kinds, results)} {clauses} {inside})
            (br {out}))
          {after} {again} {ending}) {self.pops(results)}"""

    def rethrow(self, depth: int) -> str:
        """An exception caught long ago."""
        kept = self.chance.choice(["$x", "$y"])
        if self.likely(0.3):
            return f"(local.set {kept} (local.get {self.chance.choice(['$x', '$y'])}))"
        condition = f"(i32.eqz (ref.is_null (local.get {kept})))"
        condition = f"(i32.and {condition} {self.value('i32', depth)})"
        return f"(if {condition} (then (throw_ref (local.get {kept}))))"

    def legacy(self, depth: int) -> str:
        """The same in the old form."""
        name, results = self.name(), self.some()
        self.labels.append(Label(name, results))
        inside = f"{self.statements(depth)} {self.values(results, depth)}"
        if self.likely(0.25):
            self.labels.pop()
            to = self.chance.choice([label.name for label in self.labels] or ["0"])
            return f"try {name} {declared((), results)} {inside} delegate {to} {self.pops(results)}"
        self.caught += 1
        tags = self.chance.sample(list(TAGS), self.chance.randint(0, 2))
        clauses = [f"catch {tag} {self.pops(TAGS[tag])}" for tag in tags]
        if not tags or self.likely(0.4):
            clauses.append("catch_all")
        handlers = " ".join(
            f"{clause} {self.statements(depth)} {self.legacy_again(name)} "
            f"{self.values(results, depth)}"
            for clause in clauses
        )
        self.caught -= 1
        self.labels.pop()
        return f"try {name} {declared((), results)} {inside} {handlers} end {self.pops(results)}"

    def legacy_again(self, name: str) -> str:
        """Throw again what a handler has caught."""
        if self.likely(0.6):
            return ""
        return f"(if {self.value('i32', 1)} (then (rethrow {name})))"

    def legacy_rethrow(self, depth: int) -> str:
        """Only handlers may throw again; elsewhere something else."""
        return self.throw(depth)
