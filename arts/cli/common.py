"""What all commands share: where the realm is, how errors end, how things are shown.

Exit status: see ``EXIT_CODES``. Results go to stdout, everything about them to stderr.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from typer.core import TyperGroup

import arts
from arts.errors import ArtsError, BusError

if TYPE_CHECKING:
    from arts.client import Client
    from arts.settings import Settings

T = TypeVar("T")

EXIT_CODES: Final = {
    "invalid": 2,
    "settings_error": 2,
    "not_found": 3,
    "already_exists": 4,
    "failed_precondition": 4,
    "unplaceable": 4,
    "bus_error": 5,
}
"""Exit status by error code (``arts.errors``); 1 for all others."""

INTERRUPTED: Final = 130

_WIDE = 160
"""Columns where there is no terminal to ask."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, highlight=False)

BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        envvar="ARTS_BROKER",
        help="URL of the broker.",
        show_default="that of `arts up`",
        rich_help_panel="Realm",
    ),
]
RealmOption = Annotated[
    str | None,
    typer.Option(
        "--realm",
        envvar="ARTS_REALM",
        help="Name of the realm.",
        show_default="that of `arts up`",
        rich_help_panel="Realm",
    ),
]
OwnBrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        envvar="ARTS_BROKER",
        help="auto, mosquitto, embedded, or the URL of one that runs already.",
        show_default="auto",
    ),
]
OwnRealmOption = Annotated[
    str | None,
    typer.Option("--realm", envvar="ARTS_REALM", help="Name of the realm.", show_default="realm"),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", envvar="ARTS_CONFIG", help="TOML file with settings.")
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="ARTS_DATA_DIR",
        help="Where everything durable is kept.",
        show_default="the user's data directory",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
ModuleArgument = Annotated[
    str, typer.Argument(help="Name, uuid, or the beginning of one.", show_default=False)
]


class ErrorsToExitCodes(TyperGroup):
    """Deliberate errors end as one sentence and an exit status, never as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ArtsError as error:
            fail(str(error), EXIT_CODES.get(error.code, 1))
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def fail(message: str, status: int = 1) -> NoReturn:
    """Say what went wrong and end with ``status``."""
    err.print(f"[bold red]error:[/] {escaped(message)}", soft_wrap=True)
    raise typer.Exit(status)


def print_version(wanted: bool) -> None:
    """What ``--version`` does."""
    if wanted:
        out.print(f"arts {arts.__version__}")
        raise typer.Exit


def global_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of ``arts`` itself."""


def escaped(text: str) -> str:
    """Text from outside, safe for rich's markup."""
    from rich.markup import escape

    return escape(text)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for the duration; what it gives is told how much is done, and of how much."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_json(document: Any) -> None:
    """Print a document for programs."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine."""
    return asyncio.run(work)


def locate(broker: str | None, realm: str | None) -> tuple[str, str]:
    """Broker URL and realm: as said, as configured, or those that ``arts up`` left.

    Raises ``BusError`` if nothing says where the broker is.
    """
    from arts.cli.runfile import read_run_file
    from arts.settings import load_settings

    settings = load_settings(broker=broker, realm=realm)
    if "://" in settings.broker:
        return settings.broker, settings.realm
    running = read_run_file(settings.data_dir)
    if running is None:
        raise BusError("no realm is running here; start one with `arts up`, or name its --broker")
    return running.broker, running.realm if realm is None else realm


@asynccontextmanager
async def connect(broker: str | None, realm: str | None) -> "AsyncIterator[Client]":
    """A client of the realm that the options mean."""
    from arts.client import Client

    url, name = locate(broker, realm)
    async with Client.connect(url, name) as client:
        yield client


def configure_logging(settings: "Settings", **context: Any) -> None:
    """Logging as configured, for commands that serve."""
    from arts.log import configure

    configure(settings.log.level, settings.log.format, realm=settings.realm, **context)
