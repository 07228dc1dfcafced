"""Commands about programs that need no realm: ``exec``, ``migratable``."""

from pathlib import Path
from typing import Annotated

import typer

from arts.cli.common import JsonOption, out, print_json
from arts.errors import NotFound, ProgramError

FileArgument = Annotated[Path, typer.Argument(help="A .wasm file.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("exec")(execute)
    app.command()(migratable)


def execute(
    file: FileArgument,
    args: Annotated[
        list[str] | None, typer.Argument(help="Arguments of the program; options after --.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", help="NAME=value, repeatable.")
    ] = None,
) -> None:
    """Run a program here, as a runtime would, but without a realm. Exits with its exit code."""
    from runtime.engines.runner import run_program

    raise typer.Exit(run_program(read_program(file), args or (), env or (), name=file.stem))


def migratable(
    file: FileArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")],
    as_json: JsonOption = False,
) -> None:
    """Make the migratable form of a program: what the realm does when it is given one."""
    from arts.migratable import Refused, describe, prepare

    source = read_program(file)
    try:
        prepared = prepare(source)
    except Refused as error:
        raise ProgramError(f"{file}: {error}") from None
    output.write_bytes(prepared)
    description = describe(prepared)
    document = {
        "source": {"path": str(file), "size": len(source), "digest": description.source_digest},
        "output": {"path": str(output), "size": len(prepared)},
        "functions": len(description.frame_sizes),
        "pipeline": str(description.pipeline_version),
    }
    if as_json:
        print_json(document)
    else:
        out.print(
            f"{output}: {len(prepared)} bytes (from {len(source)}); "
            f"{document['functions']} functions can be suspended",
            soft_wrap=True,
        )


def read_program(file: Path) -> bytes:
    """The bytes of a file. Raises ``NotFound``."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot read {file}: {error.strerror}") from None
