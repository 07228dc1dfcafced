"""``arts migratable``: the migratable form of a program, with what there is to know about it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.table import Table

from arts.cli.common import JsonOption, err, escaped, out, print_json, progress
from arts.cli.listing import size
from arts.cli.programs import FileArgument, read_program
from arts.errors import ProgramError
from arts.model import ProfileChoice

if TYPE_CHECKING:
    from arts.migratable import Options, Profile
    from arts.migratable.report import Report

FramesChoice = Literal["own", "primary"]

_LARGEST: Final = 10
_TRIAL: Final = 1.0
"""Seconds that a program runs to be measured..."""
_ENOUGH: Final = 10
"""...and the pauses without which nothing can be said for it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(migratable)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made, how long it took (seconds), and why this profile."""

    data: bytes
    options: "Options"
    why: str
    seconds: float
    pause: float | None = None
    """Seconds, if it was measured."""

    @property
    def profile(self) -> "Profile":
        """How often it polls."""
        return self.options.profile


def migratable(
    file: FileArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")],
    profile: Annotated[
        ProfileChoice,
        typer.Option(help="How often it looks whether it shall pause; auto runs it to find out."),
    ] = "auto",
    frames: Annotated[
        FramesChoice,
        typer.Option(help="Where stacks are written: primary for engines with one memory."),
    ] = "own",
    twins: Annotated[
        bool, typer.Option("--twins", help="For engines that cannot take new code: twice as large.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Say what was found and what it costs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the migratable form of a program: what the realm does when it is given one.

    Needs no realm. With --profile auto the program runs for up to a second, without input.
    """
    source = read_program(file)
    made = _prepare(file, source, profile, frames, twins)
    output.write_bytes(made.data)
    facts = _look(made.data) if report else None
    if as_json:
        print_json(_document(file, source, output, made, facts))
        return
    out.print(_summary(source, output, made), soft_wrap=True)
    if facts is not None:
        out.print(_table(facts, made))


# ---------------------------------------------------------------------------- making it


def _prepare(
    file: Path, source: bytes, choice: ProfileChoice, frames: FramesChoice, twins: bool
) -> Prepared:
    from arts.migratable import Frames, Options, Profile, Refused
    from arts.programs.validity import check_valid

    def options(profile: Profile) -> Options:
        return Options.of(profile, frames=Frames(frames), twins=twins)

    try:
        check_valid(source)
        if choice != "auto":
            return _timed(source, options(Profile(choice)), "as asked for")
        return _automatic(source, options)
    except Refused as error:
        raise ProgramError(f"{file}: {_explain(error)}") from None


def _explain(error: Any) -> str:
    where = f"\n  where: {error.function}" if error.function else ""
    advice = f"\n  what to do: {error.advice}" if error.advice else ""
    return f"{error.reason}{where}{advice}"


def _timed(source: bytes, options: "Options", why: str) -> Prepared:
    from arts.migratable import prepare

    begin = time.perf_counter()
    with progress("Preparing") as advance:
        data = prepare(source, options, advance)
    return Prepared(data, options, why, time.perf_counter() - begin)


def _automatic(source: bytes, options: "Callable[[Profile], Options]") -> Prepared:
    """Try what costs least, and give it up if it pauses too slowly, or if nobody can tell.

    What is tried polls a flag: counting polls takes a slice's time however soon they come.
    """
    from arts.migratable import Options, Profile
    from arts.programs.forms import PAUSE_BOUND, choose
    from runtime.engines.trial import try_out

    made = _timed(source, Options.of(Profile.THROUGHPUT), "")
    with err.status("Running it for a moment"):
        try:
            pauses, slowest = try_out(made.data, _TRIAL)
        except ProgramError as error:  # another host may have what it imports
            why = f"it cannot be measured here: {error}"
            return _timed(source, options(Profile.RESPONSIVE), why)
    bound = f"{1000 * PAUSE_BOUND:g} ms"
    found = f"with throughput the slowest pause was {1000 * slowest:.2f} ms"
    if choose(slowest) is Profile.RESPONSIVE:
        found += f", more than {bound}"
    elif pauses < _ENOUGH:
        found = "it cannot be measured here: it does not run long enough without input"
    else:
        found += f", within {bound}"
        if options(Profile.THROUGHPUT) == made.options:
            return replace(made, why=found, pause=slowest)
        return replace(_timed(source, options(Profile.THROUGHPUT), found), pause=slowest)
    return replace(_timed(source, options(Profile.RESPONSIVE), found), pause=slowest)


# ---------------------------------------------------------------------------- showing it


def _look(prepared: bytes) -> "Report":
    from arts.migratable.report import report

    with err.status("Looking at it"):
        return report(prepared)


def _document(
    file: Path, source: bytes, output: Path, made: Prepared, facts: "Report | None"
) -> dict[str, Any]:
    from arts.migratable import describe

    description = describe(made.data)
    document: dict[str, Any] = {
        "source": {"path": str(file), "size": len(source), "digest": description.source_digest},
        "output": {"path": str(output), "size": len(made.data)},
        "functions": len(description.frame_sizes),
        "pipeline": str(description.pipeline_version),
        "profile": {"name": made.profile, "why": made.why},
        "options": {
            "poll": description.options.poll,
            "frames": description.options.frames,
            "twins": description.options.twins,
        },
        "seconds": round(made.seconds, 3),
    }
    if made.pause is not None:
        document["profile"]["throughput_pause_ms"] = round(1000 * made.pause, 3)
    if facts is not None:
        document["report"] = {
            "functions": facts.functions,
            "suspendable": facts.suspendable,
            "polled": facts.polled,
            "recursive": facts.recursive,
            "blocking": facts.blocking,
            "callers": facts.callers,
            "indirect_types": facts.indirect_types,
            "points": {
                "polls": facts.polls,
                "calls": facts.calls,
                "host_calls": facts.host_calls,
            },
            "growth": round(facts.growth, 2),
            "frames": [frame._asdict() for frame in facts.frames[:_LARGEST]],
            "blocks_on": [".".join(title) for title in facts.blocks_on],
        }
    return document


def _summary(source: bytes, output: Path, made: Prepared) -> str:
    from arts.migratable import describe

    functions = len(describe(made.data).functions)
    return escaped(
        f"{output}: {len(made.data)} bytes (from {len(source)}), {made.profile}; "
        f"{functions} functions can be suspended"
    )


def _table(facts: "Report", made: Prepared) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in _rows(facts, made):
        table.add_row(name, escaped(value))
    return table


def _rows(facts: "Report", made: Prepared) -> list[tuple[str, str]]:
    share = 100 * facts.suspendable / max(1, facts.functions)
    largest = ", ".join(f"{name} {size(total)}" for name, total in facts.frames[:3])
    return [
        ("size", f"{size(facts.source_size)}, prepared {size(facts.prepared_size)}"),
        ("", f"x{facts.growth:.2f} without the source, which travels along"),
        ("can be suspended", f"{facts.suspendable} of {facts.functions} ({share:.0f} %)"),
        ("because they loop or recur", f"{facts.polled}, {facts.recursive} polled at entry"),
        ("because they call the host", f"{facts.blocking}"),
        ("because they call those", f"{facts.callers}"),
        ("signatures called by table", f"{facts.indirect_types}"),
        (
            "points",
            f"{facts.points}: {facts.polls} polls, {facts.calls} calls, "
            f"{facts.host_calls} calls of the host",
        ),
        ("largest frames", largest or "none"),
        ("may wait for", ", ".join(name for _, name in facts.blocks_on) or "nothing"),
        ("profile", f"{made.profile}: {made.why}"),
        ("prepared in", f"{made.seconds:.2f} s"),
    ]
