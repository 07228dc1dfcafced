"""Many seeds of ``fuzz``, in children, which may hang or die.

python -m tests.migratable.proof.soak --engine v8 --count 1000 --seed 0
python -m tests.migratable.proof.soak --one SEED        # one of them, told in full
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from arts.bench import v8

from . import fuzz, fuzz_v8

BATCH: Final = 400
"""Seeds that one child checks: what it forgets to free ends with it."""


@contextmanager
def checker(engine: str) -> Iterator[Callable[[int], fuzz.Tally]]:
    """What checks a seed on an engine."""
    if engine == "wasmtime":
        yield fuzz.check
        return
    with v8.Node(timeout=60) as node:
        yield partial(fuzz_v8.check, node)


def work(engine: str, first: int, count: int) -> None:
    """A child: says the seed before, and what came of it after."""
    with checker(engine) as check:
        for seed in range(first, first + count):
            print(json.dumps({"seed": seed}), flush=True)
            print(json.dumps(said_of(check, seed)), flush=True)


def said_of(check: Callable[[int], fuzz.Tally], seed: int) -> dict[str, Any]:
    """What came of a seed."""
    try:
        return vars(check(seed))
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}


def children(
    engine: str, first: int, count: int, patience: float = 200
) -> tuple[fuzz.Tally, dict[int, str]]:
    """Check many seeds in children; (what was seen, problems by seed)."""
    tally, problems, progress = fuzz.Tally(), {}, Progress(count)
    seed, end = first, first + count
    while seed < end:
        said: dict[str, Any] = {}
        child = started(engine, seed, min(end - seed, BATCH))
        for said in lines(child, patience):
            if "seed" in said:
                seed = said["seed"]
            elif "problem" in said:
                problems[seed] = said["problem"]
                print(f"seed {seed}: {said['problem']}", flush=True)
            else:
                tally.add(fuzz.Tally(**{key: _counted(value) for key, value in said.items()}))
            progress.tell(seed - first, len(problems))
        if child.wait() != 0:
            problems[seed] = f"the process hung or died: {child.returncode}"
            print(f"seed {seed}: {problems[seed]}", flush=True)
        seed += 1
    return tally, problems


def _counted(value: Any) -> Any:
    return Counter(value) if isinstance(value, dict) else value


def started(engine: str, first: int, count: int) -> subprocess.Popen[str]:
    """A child at work."""
    module = __spec__.name if __spec__ else __name__
    command = [sys.executable, "-m", module, "--work", engine, str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(child: subprocess.Popen[str], patience: float) -> Iterator[dict[str, Any]]:
    """What a child says; one that says nothing for too long is killed."""
    assert child.stdout is not None
    watchdog = threading.Timer(patience, child.kill)
    watchdog.start()
    for line in child.stdout:
        watchdog.cancel()
        watchdog = threading.Timer(patience, child.kill)
        watchdog.start()
        yield json.loads(line)
    watchdog.cancel()


class Progress:
    """Says now and then how far it is."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.began = self.told = time.monotonic()

    def tell(self, done: int, problems: int) -> None:
        """So much is done."""
        now = time.monotonic()
        if now - self.told > 30:
            self.told = now
            rate = done / (now - self.began)
            print(f"{done} of {self.count}, {rate:.1f}/s, {problems} problems", flush=True)


def save(engine: str, seed: int, problem: str, folder: Path) -> None:
    """What is needed to see a problem again."""
    folder.mkdir(parents=True, exist_ok=True)
    found = fuzz.subject(seed, portable=engine == "v8")
    (folder / f"{engine}-{seed}.wasm").write_bytes(found.wasm)
    text = f"{problem}\n{fuzz.variant_of(seed)}\n\n{found.text}\n"
    (folder / f"{engine}-{seed}.txt").write_text(text)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["wasmtime", "v8"], default="wasmtime")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    folder = Path(tempfile.gettempdir()) / "arts-fuzz"
    parser.add_argument("--save", type=Path, default=folder, metavar="FOLDER")
    asked = parser.parse_args()
    if asked.work:
        engine, first, count = asked.work
        work(engine, int(first), int(count))
        return 0
    if asked.one is not None:
        with checker(asked.engine) as check:
            print(check(asked.one))
        return 0
    tally, problems = children(asked.engine, asked.seed, asked.count)
    for seed, problem in problems.items():
        save(asked.engine, seed, problem, asked.save)
    print(f"{asked.engine}: {dict(tally.outcomes)}\n{tally.pauses} pauses, {tally.moves} moves")
    print(f"features {dict(tally.features.most_common())}")
    for reason, number in tally.refusals.most_common():
        print(f"  refused {number}: {reason}")
    print(f"{len(problems)} problems", f"saved in {asked.save}" if problems else "")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main())
