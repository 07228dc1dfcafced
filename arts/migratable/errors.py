"""What can go wrong when a program is made migratable, in words its author can act on.

Knows the three ways to say no. Does not know who asked, nor how the answer is shown.
"""


class Refused(Exception):
    """The program uses something that cannot be captured or continued (yet).

    ``reason`` says what, ``function`` where (its name, or ``function 12``; None for the module as
    a whole) and ``advice`` what the author can do about it. ``str()`` is one readable line.
    """

    def __init__(self, reason: str, function: str | None = None, advice: str = "") -> None:
        super().__init__(reason, function, advice)
        self.reason = reason
        self.function = function
        self.advice = advice

    def __str__(self) -> str:
        where = f" (in {self.function})" if self.function else ""
        hint = f" {self.advice[0].upper()}{self.advice[1:]}." if self.advice else ""
        return f"{self.reason[0].upper()}{self.reason[1:]}{where}.{hint}"


class NotWasm(Refused):
    """The bytes are not a well-formed core WebAssembly module at all."""


class CorruptFrames(ValueError):
    """Captured frames contradict the description of the program that wrote them."""
