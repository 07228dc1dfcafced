"""The WebAssembly core test suite, on prepared programs that are paused wherever they can be.

Every script runs plainly first: what the engine itself does not do is not asked of prepared
programs. Then it runs again, all modules prepared, with an empty loop between all instructions
(``saturate``), and pauses forced at every k-th poll. A module that shares nothing with others is
moved into a new store at each pause. Knows commands; knows nothing of how preparing works.

    python -m tests.migratable.proof.spec FOLDER [NAME ...]

The suite itself (github.com/WebAssembly/testsuite) is not part of this repository.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final, NoReturn

from arts.migratable import Frames, Options, Poll, Refused, prepare

from . import wast
from .machine import Failed
from .worlds import Mode, Outcome, Paused, Plain, Skipped, World

MODES: Final = (
    Mode(1),
    Mode(2, small_loop=0, frames=Frames.PRIMARY),
    Mode(5, small_loop=6, nest=True),
    Mode(3, twins=True),
)


def results_of(world: World, script: wast.Script, command: dict[str, Any]) -> Any:
    """What a command leads to: results, or ``Failed``. Raises Skipped."""
    kind = command["type"]
    try:
        if kind == "module_definition":
            wasm = script.module(command)
            assert wasm is not None
            world.definitions[command.get("name")] = wasm
            return None
        if kind in ("module", "module_instance"):
            _make(world, script, command)
            return None
        if kind == "register":
            world.registered[command["as"]] = _registered(world, command)
            return None
        if kind in ("assert_unlinkable", "assert_uninstantiable"):
            wasm = script.module(command)
            assert wasm is not None
            world.make(wasm)
            return None
        action = command["action"]
        target = world.target(action)
        if action["type"] == "get":
            return [world.instance_of(target).get(action["field"])]
        return world.invoke(target, action["field"], [*map(wast.argument, action["args"])])
    except Failed as failed:
        return failed


def _make(world: World, script: wast.Script, command: dict[str, Any]) -> None:
    if command["type"] == "module_instance":
        wasm: bytes | None = world.definitions[command.get("module")]
        name = command.get("instance")
    else:
        wasm, name = script.module(command), command.get("name")
    assert wasm is not None
    try:
        world.current = world.make(wasm)
    except (Failed, Skipped) as error:
        world.current = error if isinstance(error, Skipped) else Skipped(str(error))
        raise
    finally:
        if name:
            world.named[name] = world.current


def _registered(world: World, command: dict[str, Any]) -> Any:
    return world.named[command["name"]] if "name" in command else world.current


def expected(command: dict[str, Any], found: Any) -> bool:
    """Whether this is what the script says."""
    kind = command["type"]
    if isinstance(found, Exception) and not isinstance(found, Failed):
        return False
    if kind.startswith("assert_") and kind != "assert_return":
        return isinstance(found, Failed)
    if isinstance(found, Failed):
        return False
    if kind != "assert_return":
        return True
    wanted = command["expected"]
    return len(found) == len(wanted) and all(map(wast.matches, found, wanted))


OUT_OF_BOUNDS: Final = "out of bounds memory access"
HIDDEN: Final = (
    "behind the end of its memory a program with primary frames finds these, and no trap"
)


def not_promised(command: dict[str, Any], mode: Mode) -> bool:
    """What a program prepared for engines with one memory does not do."""
    return mode.frames is Frames.PRIMARY and command.get("text") == OUT_OF_BOUNDS


def told(found: Any) -> str:
    """What a command led to, as text; a reference is the same wherever it is."""
    if not isinstance(found, list):
        return str(found)
    return " ".join(f"{v.kind}:{v.bits is None}" if v.kind == "funcref" else str(v) for v in found)


def not_run(command: dict[str, Any]) -> bool:
    """Commands about modules that never run."""
    return command["type"] in ("assert_invalid", "assert_malformed")


def control(script: wast.Script) -> list[Any]:
    """What the engine makes of every command: ``Skipped`` where it is not what it should be."""
    world = Plain()
    found: list[Any] = []
    for command in script.commands:
        if not_run(command):
            found.append(None)
            continue
        try:
            result = results_of(world, script, command)
        except Skipped as skipped:
            result = skipped
        if not isinstance(result, Skipped) and not expected(command, result):
            result = Skipped(f"the engine: {result}")
        found.append(result)
    return found


def run(script: wast.Script, mode: Mode, plain: list[Any] | None) -> Outcome:
    """Run a script on prepared programs; without a control, only its own expectations count."""
    outcome = Outcome()
    world = Paused(mode, outcome)
    shared = script.shared()
    for number, command in enumerate(script.commands):
        if not_run(command):
            _check_invalid(script, command, outcome)
            continue
        known = plain[number] if plain else None
        try:
            if not_promised(command, mode):
                _leave_out(world, script, command)
            if isinstance(known, Skipped):
                if command["type"].startswith("module"):
                    _forget(world, command, known)
                raise known
            world.stays = number in shared
            found = results_of(world, script, command)
        except Skipped as skipped:
            outcome.skips[str(skipped)] += 1
            continue
        except Exception as error:
            found = error
        if expected(command, found) and (plain is None or told(found) == told(known)):
            outcome.passed += 1
        else:
            said = f"line {command['line']}: {found!r} {known!r} {json.dumps(command)[:300]}"
            outcome.failures.append(said)
    return outcome


def _leave_out(world: Paused, script: wast.Script, command: dict[str, Any]) -> NoReturn:
    """Do not run what is not promised; whatever it would have changed is in doubt."""
    if command["type"] in ("assert_uninstantiable", "assert_unlinkable"):
        wasm = script.module(command)
        assert wasm is not None
        world.doubt_sources(wasm)
    raise Skipped(HIDDEN)


def _forget(world: World, command: dict[str, Any], skipped: Skipped) -> None:
    world.current = skipped
    name = command.get("name") or command.get("instance")
    if name:
        world.named[name] = skipped


def _check_invalid(script: wast.Script, command: dict[str, Any], outcome: Outcome) -> None:
    """Whatever the bytes are: prepared or refused, nothing else."""
    wasm = script.module(command) if command["module_type"] == "binary" else None
    if wasm is None:
        return
    try:
        prepare(wasm, Options(Poll.COUNTDOWN))
    except Refused:
        pass
    except Exception as error:
        outcome.failures.append(f"line {command['line']}: {error!r} {json.dumps(command)[:300]}")


def check(path: Path, mode: Mode) -> Outcome:
    """Run a script in a mode, against the plain engine where that can run it."""
    script = wast.Script(path)
    return run(script, mode, None if wast.is_legacy(path) else control(script))


def main(arguments: list[str]) -> int:
    """Run scripts in all modes, and report."""
    folder, *names = arguments
    chosen = [path for path in wast.scripts(Path(folder)) if not names or path.stem in names]
    totals = [Outcome() for _ in MODES]
    files: Counter[str] = Counter()
    for path in chosen:
        script = wast.Script(path)
        plain = None if wast.is_legacy(path) else control(script)
        for mode, total in zip(MODES, totals, strict=True):
            outcome = run(script, mode, plain)
            said = f"{outcome.passed} passed, {outcome.pauses} pauses, {outcome.moves} moves"
            print(f"{path.stem} k={mode.every}: {said}", dict(outcome.skips) or "", flush=True)
            for failure in outcome.failures[:5]:
                print("  FAILED", failure)
            total.add(outcome)
            if mode is MODES[0]:
                files.update(outcome.skips.keys())
    for mode, total in zip(MODES, totals, strict=True):
        print(
            f"{len(chosen)} files, {mode}: {total.passed} passed, {len(total.failures)} failed, "
            f"{total.pauses} pauses, {total.moves} moves"
        )
        for reason, count in total.skips.most_common():
            print(f"  {count} skipped: {reason} (in {files[reason]} files)")
    return min(sum(len(total.failures) for total in totals), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
