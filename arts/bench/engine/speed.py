"""Run times of all forms of one program, in turns, as ratios to the plain form.

A noisy machine disturbs neighbours in time alike: each round runs every form once, a form is
compared with the plain form of the same round, and the median of these ratios counts. What is
measured is the CPU time of the thread, which other work on the machine hardly changes.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from arts.bench.engine.forms import PLAIN


@dataclass(frozen=True)
class Seconds:
    """Form -> CPU seconds of each round."""

    of: dict[str, list[float]]

    @classmethod
    def in_turns(cls, run: Callable[[str], float], forms: Sequence[str], rounds: int) -> Self:
        """Run all forms ``rounds`` times; each round begins with another one."""
        seconds = cls({name: [] for name in forms})
        for number in range(rounds):
            first = number % len(forms)
            for name in [*forms[first:], *forms[:first]]:
                seconds.of[name].append(run(name))
        return seconds

    def ratio(self, form: str) -> float:
        """How much longer than plain; 1 is as long."""
        pairs = zip(self.of[form], self.of[PLAIN], strict=True)
        return statistics.median(seconds / plain for seconds, plain in pairs)

    def ratios(self) -> dict[str, float]:
        """Of all forms but plain itself."""
        return {form: self.ratio(form) for form in self.of if form != PLAIN}
