"""Another process that goes on with a captured program, and knows nothing but what it is given.

As a program (``python -m tests.programs_real.elsewhere PREPARED COMPILED``) it reads one Task from
standard input, runs it for a turn, and writes one Turn to standard output.
"""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.migratable.host import Guest, Program, Snapshot

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Task:
    """What to go on with, and after how many polls to pause (0: never)."""

    snapshot: Snapshot
    polls: int = 0


@dataclass(frozen=True)
class Turn:
    """How the turn ended; ``snapshot`` if it is parked again."""

    outcome: str
    output: bytes
    polls: int
    snapshot: Snapshot | None


def go_on(prepared: Path, compiled: Path, task: Task) -> Turn:
    """One turn in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs_real.elsewhere", str(prepared), str(compiled)],
        input=pickle.dumps(task),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    turn = pickle.loads(done.stdout)
    assert isinstance(turn, Turn)
    return turn


def main(prepared: str, compiled: str) -> None:
    """The other process."""
    task = pickle.load(sys.stdin.buffer)
    program = Program(Path(prepared).read_bytes(), compiled=Path(compiled).read_bytes())
    guest = Guest.restore(program, task.snapshot)
    guest.pause_at(task.polls)
    outcome = guest.run()
    polls = guest.safepoints if task.polls == 0 else task.polls
    snapshot = guest.capture() if outcome == "parked" else None
    turn = Turn(outcome, guest.world.out, polls, snapshot)
    # By its own name: here it is __main__'s.
    from tests.programs_real import elsewhere

    sys.stdout.buffer.write(pickle.dumps(elsewhere.Turn(*vars(turn).values())))


if __name__ == "__main__":
    main(*sys.argv[1:])
