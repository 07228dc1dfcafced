"""Which locals still matter at each point: the classic backward data flow, over flat items.

Knows uses, definitions and control flow. Does not know types, frames or generated code.
"""

from arts.migratable import opcodes
from arts.migratable.code import Block, Branch, Close, Code, Else, Leave, Open, Point, Raw, mask


def solve(code: Code) -> None:
    """Set ``live`` of every point: the locals to save there, and nothing more."""
    solver = _Liveness(code)
    while solver.sweep():
        pass


class _Liveness:
    """Sweeps from the end to the beginning until the labels of loops stop changing."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.changed = False
        self.live = 0
        self.handlers = 0
        """Live at any handler that an exception thrown here may reach."""
        self.behind: dict[Block, int] = {}
        self.other_arm: dict[Block, int] = {}
        self.outer_handlers: dict[Block, int] = {}

    def sweep(self) -> bool:
        """One pass over the function; whether another one is needed."""
        self.changed = False
        self.live = 0
        for item in reversed(self.code.items):
            if isinstance(item, Raw):
                self.live = self.live & ~item.defines | item.uses
            elif isinstance(item, Branch):
                self._branch(item)
            elif isinstance(item, Point):
                self._point(item)
            elif isinstance(item, Close):
                self._close(item.block)
            elif isinstance(item, Open):
                self._open(item.block)
            elif isinstance(item, Else):
                self.other_arm[item.block] = self.live
                self.live = self.behind[item.block]
            elif isinstance(item, Leave):
                self.live = 0
            self.live |= self.handlers
        return self.changed

    def _branch(self, branch: Branch) -> None:
        if branch.opcode != opcodes.BR_IF:
            self.live = 0
        for target in branch.targets:
            self.live |= target.live

    def _point(self, point: Point) -> None:
        self.live = self.live & ~mask(point.results) | mask(point.below) | mask(point.arguments)
        self.live |= self.handlers
        point.live = self.live

    def _close(self, block: Block) -> None:
        self.behind[block] = self.live
        if not block.is_loop:
            block.live = self.live
        if block.catches:
            self.outer_handlers[block] = self.handlers
            for catch in block.catches:
                self.handlers |= catch.target.live

    def _open(self, block: Block) -> None:
        if block.is_loop:
            self.changed |= self.live | block.live != block.live
            block.live |= self.live
        elif block.opcode == opcodes.IF:
            self.live |= self.other_arm.get(block, self.behind[block])
        elif block.catches:
            self.handlers = self.outer_handlers[block]
