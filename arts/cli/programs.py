"""``arts exec``: a program, run here without a realm."""

from pathlib import Path
from typing import Annotated

import typer

from arts.errors import NotFound

FileArgument = Annotated[Path, typer.Argument(help="A .wasm file.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("exec")(execute)


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


def read_program(file: Path) -> bytes:
    """The bytes of a file. Raises ``NotFound``."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot read {file}: {error.strerror}") from None
