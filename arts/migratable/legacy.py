"""Legacy exceptions, as ``try_table`` has them: one function body to another.

What most compilers still emit is what some engines never had. Every ``try`` becomes blocks, one to
receive what each clause catches, around a ``try_table``::

    try (result R)              block $try (result R)
      body                        block $b (result exnref)
    catch $t                        block $a (result T.. exnref)
      first               ->          try_table (result R) (catch_ref $t $a) (catch_all_ref $b)
    catch_all                           body
      second                          end
    end                               br $try
                                    end
                                    local.set $caught  first  br $try
                                  end
                                  local.set $caught  second
                                end

``rethrow`` throws what its ``try`` caught. ``delegate`` throws inside the body of the ``try`` that
it names, past those in between: that body gets a block to receive the exception and throw it again.

Follows the translation of Binaryen's TranslateToExnref pass. Knows control structure; does not know
types of operands, sections or activations.
"""

from dataclasses import dataclass, field
from typing import Final

from arts.migratable import opcodes
from arts.migratable.assembler import END, br, local_get, local_set
from arts.migratable.binary import Reader, skip_leb, u32, unsigned, vector
from arts.migratable.errors import NotWasm
from arts.migratable.module import FunctionType, Module, Types
from arts.migratable.opcodes import EXNREF

_ENDS: Final = frozenset({opcodes.END, opcodes.DELEGATE})
_CLAUSES: Final = frozenset({opcodes.CATCH, opcodes.CATCH_ALL})
INSTRUCTIONS: Final = frozenset(
    {opcodes.TRY, opcodes.CATCH, opcodes.RETHROW, opcodes.DELEGATE, opcodes.CATCH_ALL}
)
_BLOCKS: Final = frozenset({opcodes.BLOCK, opcodes.LOOP, opcodes.IF, opcodes.TRY_TABLE})
_BRANCHES: Final = frozenset({opcodes.BR, opcodes.BR_IF, opcodes.BR_TABLE})
_STRUCTURE: Final = _BLOCKS | _BRANCHES | INSTRUCTIONS | {opcodes.ELSE, opcodes.END}
_BETWEEN: Final = opcodes.runs_without(_STRUCTURE)
_THROW_REF: Final = bytes([opcodes.THROW_REF])
CATCH, CATCH_ALL, CATCH_ALL_REF = 0, 2, 3
"""Kinds of clauses of ``try_table``; one more is the kind that gives the exception too."""
EXCEPTION: Final = bytes([EXNREF])
NOTHING: Final = FunctionType(b"", b"")


def replace(body: bytes, module: Module, function: int, types: Types) -> bytes:
    """A body (locals and code, without its size) without legacy exceptions.

    ``types`` grows by what the new blocks need. Raises IndexError or NotWasm for malformed code.
    """
    return _Function(body, module, function, types).replaced()


@dataclass(eq=False)
class _Label:
    """What branches can go to; ``depth`` is that of its label in the new code.

    The rest is only for ``try``: ``tags`` of its clauses in order (None catches all) and the one at
    hand (None in its body), the labels that a ``delegate`` at its end names, whether what it caught
    is thrown again and the ``local`` that keeps it, and whether its body has a block to receive
    what is delegated to it, and the depth of that.
    """

    parent: "_Label | None" = None
    is_try: bool = False
    kind: FunctionType = NOTHING
    tags: list[int | None] = field(default_factory=list)
    clause: int | None = None
    around: "list[_Label]" = field(default_factory=list)
    delegated: "list[_Label] | None" = None
    rethrown: bool = False
    local: int = 0
    receives: bool = False
    receiver: int = 0
    depth: int = 0

    def bodies(self) -> "list[_Label]":
        """Every ``try`` in whose body this label is, innermost first, itself included."""
        found, label = [], self
        while label.parent is not None:
            if label.is_try and label.clause is None:
                found.append(label)
            label = label.parent
        return [*found, label]


def _catcher(bodies: "list[_Label]") -> _Label:
    """Who gets what is thrown in these bodies; the outermost label is the function's own."""
    while True:
        label = next(it for it in bodies if it.tags or it.delegated or it.parent is None)
        if not label.delegated:
            return label
        bodies = label.delegated


class _Function:
    """Two passes over one body: what each ``try`` is, then the new code."""

    def __init__(self, body: bytes, module: Module, function: int, types: Types) -> None:
        self.body = body
        self.module = module
        self.types = types
        self.kind = module.type_of(function)
        reader = Reader(body)
        self.groups = reader.vector(lambda: (reader.u32(), reader.byte()))
        self.start = reader.at
        self.local = len(self.kind.parameters) + sum(count for count, _ in self.groups)
        self.root = _Label()
        self.labels = [self.root]
        self.tries: dict[int, _Label] = {}
        self.out = bytearray()
        self.depth = 0

    def replaced(self) -> bytes:
        """The new body."""
        for at in opcodes.stops(_BETWEEN, self.body, self.start, len(self.body)):
            self._survey(at, self.body[at])
        self._resolve()
        self.labels = [self.root]
        copied = self.start
        if self.root.receives:
            self._open(opcodes.BLOCK, b"", EXCEPTION)
            self.root.receiver = self.depth
        for at in opcodes.stops(_BETWEEN, self.body, self.start, len(self.body)):
            self.out += self.body[copied:at]
            self._write(at, self.body[at])
            copied = opcodes.skip_instruction(self.body, at)
        groups = [unsigned(count) + bytes([kind]) for count, kind in self.groups]
        return vector(groups) + bytes(self.out)

    # -- what there is ------------------------------------------------------------------------

    def _survey(self, at: int, opcode: int) -> None:
        label = self._outward(0)
        if opcode == opcodes.TRY:
            kind = self.module.block_type(self.body, at + 1)
            self.tries[at] = _Label(label, True, kind)
            self.labels.append(self.tries[at])
        elif opcode in _BLOCKS:
            self.labels.append(_Label(label))
        elif opcode in _CLAUSES:
            self._begin_clause(label, at, opcode)
        elif opcode == opcodes.RETHROW:
            caught = self._outward(self._operand(at))
            if caught.clause is None:
                raise NotWasm("a rethrow outside of a catch")
            caught.rethrown = True
        elif opcode == opcodes.DELEGATE:
            self.labels.pop()
            label.around = self._outward(0).bodies()
            label.delegated = self._outward(self._operand(at)).bodies()
        elif opcode == opcodes.END:
            self.labels.pop()

    def _outward(self, depth: int) -> _Label:
        """The label of that relative depth."""
        if depth >= len(self.labels):
            raise NotWasm("a label that does not exist")
        return self.labels[-1 - depth]

    def _begin_clause(self, label: _Label, at: int, opcode: int) -> None:
        if not label.is_try:
            raise NotWasm("a catch without its try")
        label.tags.append(self._operand(at) if opcode == opcodes.CATCH else None)
        label.clause = len(label.tags) - 1

    def _resolve(self) -> None:
        """Which bodies receive, which locals keep what was caught; back to the beginning."""
        for label in self.tries.values():
            label.clause = None
            if label.rethrown:
                label.local = self.local
                self.local += 1
                self.groups.append((1, EXNREF))
            if label.delegated is not None:
                target = _catcher(label.delegated)
                if target is _catcher(label.around):
                    label.delegated = None  # it goes there by itself
                else:
                    target.receives = True

    # -- the new code -------------------------------------------------------------------------

    def _write(self, at: int, opcode: int) -> None:
        label = self._outward(0)
        if opcode == opcodes.TRY:
            self._try(at)
        elif opcode in _BLOCKS:
            self._block(at, opcode, label)
        elif opcode in _BRANCHES:
            self._branch(at, opcode)
        elif opcode in _CLAUSES:
            self._clause(label)
        elif opcode == opcodes.RETHROW:
            caught = self._outward(self._operand(at))
            self.out += local_get(caught.local) + _THROW_REF
        elif opcode in _ENDS:
            self._end(label)
        else:  # an else, or what patterns do not pass over
            self.out += self.body[at : opcodes.skip_instruction(self.body, at)]

    def _open(self, opcode: int, parameters: bytes, results: bytes, clauses: bytes = b"") -> None:
        self.out += bytes([opcode]) + self.types.block(parameters, results) + clauses
        self.depth += 1

    def _close(self) -> None:
        self.out += END
        self.depth -= 1

    def _try(self, at: int) -> None:
        outside, label = self.depth, self.tries[at]
        parameters, results = label.kind
        if label.delegated is not None:
            receiver = outside - _catcher(label.delegated).receiver
            clauses = vector([bytes([CATCH_ALL_REF]) + unsigned(receiver)])
            self._open(opcodes.TRY_TABLE, parameters, results, clauses)
        else:
            self._open(opcodes.BLOCK, parameters, results)
        label.depth = self.depth
        if label.tags:
            for tag in reversed(label.tags):
                self._open(opcodes.BLOCK, parameters, self._caught(label, tag))
            clauses = vector(
                self._table_clause(label, number, tag) for number, tag in enumerate(label.tags)
            )
            self._open(opcodes.TRY_TABLE, parameters, results, clauses)
            if label.receives:
                self._open(opcodes.BLOCK, parameters, EXCEPTION)
                label.receiver = self.depth
        self.labels.append(label)

    def _caught(self, label: _Label, tag: int | None) -> bytes:
        """What a clause begins with, by types."""
        payload = b"" if tag is None else self.module.tags[tag].parameters
        return payload + (EXCEPTION if label.rethrown else b"")

    def _table_clause(self, label: _Label, number: int, tag: int | None) -> bytes:
        if tag is None:
            return bytes([CATCH_ALL + label.rethrown]) + unsigned(number)
        return bytes([CATCH + label.rethrown]) + unsigned(tag) + unsigned(number)

    def _block(self, at: int, opcode: int, label: _Label) -> None:
        behind = skip_leb(self.body, at + 1)
        self.out += self.body[at:behind]
        if opcode == opcodes.TRY_TABLE:
            self._copy_clauses(behind)
        self.depth += 1
        self.labels.append(_Label(label, depth=self.depth))

    def _copy_clauses(self, at: int) -> None:
        count, at = u32(self.body, at)
        self.out += unsigned(count)
        for _ in range(count):
            start = at
            at = skip_leb(self.body, at + 1) if self.body[at] < CATCH_ALL else at + 1
            depth, behind = u32(self.body, at)
            self.out += self.body[start:at] + self._to(self._outward(depth))
            at = behind

    def _branch(self, at: int, opcode: int) -> None:
        self.out.append(opcode)
        at, count = at + 1, 1
        if opcode == opcodes.BR_TABLE:
            count, at = u32(self.body, at)
            self.out += unsigned(count)
            count += 1
        for _ in range(count):
            depth, at = u32(self.body, at)
            self.out += self._to(self._outward(depth))

    def _to(self, label: _Label) -> bytes:
        return unsigned(self.depth - label.depth)

    def _clause(self, label: _Label) -> None:
        """End the body or the clause before, and begin to handle what the next one caught."""
        if label.clause is None:
            self._end_receiver(label)
            self._close()
        label.clause = 0 if label.clause is None else label.clause + 1
        self.out += br(self.depth - label.depth)
        self._close()
        if label.rethrown:
            self.out += local_set(label.local)

    def _end_receiver(self, label: _Label) -> None:
        if label.receives:
            self.out += br(self.depth - label.depth)
            self._close()
            self.out += _THROW_REF

    def _end(self, label: _Label) -> None:
        if label.parent is None:
            self._end_receiver(label)
            self.out += END
        else:
            self._close()
        self.labels.pop()

    def _operand(self, at: int) -> int:
        return u32(self.body, at + 1)[0]
