"""The ``arts`` command: thin shells around the client, the supervisor and the runtime.

One file per group of commands, each with ``register(app)``. Heavy imports belong into the
commands, so that ``arts --help`` stays quick.
"""

import typer

from arts.cli import (
    bench,
    checkpoints,
    demo,
    doctor,
    exports,
    listing,
    migratable,
    modules,
    programs,
    scene,
    serve,
    streams,
    up,
)
from arts.cli.common import ErrorsToExitCodes, global_options

app = typer.Typer(
    cls=ErrorsToExitCodes,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Places WebAssembly modules on runtimes over MQTT, and moves them while they run.",
    epilog="Exit status: 0 done, 1 failed, 2 bad request or configuration, 3 not found, "
    "4 not possible now, 5 broker or supervisor out of reach, 130 interrupted.",
)
app.callback()(global_options)

for commands in (
    demo,
    up,
    serve,
    modules,
    listing,
    checkpoints,
    exports,
    scene,
    streams,
    programs,
    migratable,
    bench,
    doctor,
):
    commands.register(app)


def main() -> None:
    """Entry point of ``arts`` and of ``python -m arts``."""
    app(prog_name="arts")
