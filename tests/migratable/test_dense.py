"""Real programs at random pauses and in chains of moves: ``make soak`` in a short form."""

import pytest

from .proof import dense
from .proof.dense import Dense

FORMS = list(dense.FORMS)
SMALL = [
    (program, FORMS[number % len(FORMS)])
    for number, program in enumerate(dense.PROGRAMS)
    if not program.large
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("program", "form"), SMALL, ids=[f"{program.name} {form}" for program, form in SMALL]
)
def test_a_program_is_paused_anywhere_and_moves_on_and_on(program: Dense, form: str) -> None:
    assert len(list(dense.random_pauses(program, form, 2))) == 2
    assert dense.chain(program, form, 3) >= 2
    dense.prepared.cache_clear()
