"""Commands that serve in the foreground: ``serve`` is a supervisor, ``runtime`` is one runtime."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from arts.cli.common import (
    BrokerOption,
    ConfigOption,
    DataDirOption,
    OwnBrokerOption,
    OwnRealmOption,
    RealmOption,
    configure_logging,
    locate,
    run,
)
from arts.errors import SettingsError

ExitWithParentOption = Annotated[
    bool, typer.Option("--exit-with-parent", hidden=True, help="End when stdin does.")
]

_FAREWELL = 15.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command("runtime")(serve_runtime)


def serve(
    broker: OwnBrokerOption = None,
    realm: OwnRealmOption = None,
    data_dir: DataDirOption = None,
    http_port: Annotated[int | None, typer.Option(help="Of HTTP; 0 is any.")] = None,
    config: ConfigOption = None,
    exit_with_parent: ExitWithParentOption = False,
) -> None:
    """Supervise a realm, in the foreground. Without --broker it brings a broker of its own."""
    from arts.serve import run_supervisor
    from arts.settings import load_settings

    settings = load_settings(
        config, broker=broker, realm=realm, data_dir=data_dir, http={"port": http_port}
    )
    configure_logging(settings)
    if exit_with_parent:
        end_with_stdin()
    run(run_supervisor(settings))


def serve_runtime(
    broker: BrokerOption = None,
    realm: RealmOption = None,
    name: Annotated[str | None, typer.Option(help="Name for people.", show_default="host")] = None,
    data_dir: DataDirOption = None,
    max_modules: Annotated[int | None, typer.Option(min=1, help="Places for modules.")] = None,
    precopy: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds for memory to leave again while a module that moves still runs; "
            "0: it leaves when the module stands.",
            show_default="4",
        ),
    ] = None,
    keep_pages: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="MIB",
            help="Memory for pages of modules that have left: they need not travel when their "
            "module comes back.",
            show_default="256, or 1/32 of the machine's",
        ),
    ] = None,
    direct: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Own address at which others may dial for the memory of a module that moves, "
            "past the broker. Not encrypted.",
        ),
    ] = None,
    trust_broker: Annotated[
        bool,
        typer.Option(
            "--trust-broker",
            envvar="ARTS_TRUST_BROKER",
            help="Do not try whether the broker can hand over the session of a module.",
        ),
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="KEY=VALUE, repeatable.")
    ] = None,
    config: ConfigOption = None,
    exit_with_parent: ExitWithParentOption = False,
) -> None:
    """Be a runtime of a realm, in the foreground."""
    from arts.settings import load_settings
    from runtime.__main__ import main
    from runtime.settings import MEBIBYTE, RuntimeSettings

    url, realm = locate(broker, realm)
    name = name or os.uname().nodename
    settings = load_settings(config, realm=realm)
    chosen = RuntimeSettings(
        data_dir=data_dir or settings.data_dir / "runtimes" / name,
        realm=realm,
        broker=url,
        name=name,
        labels=parse_labels(label or ()),
        trust_broker=trust_broker,
    )
    if max_modules is not None:
        chosen = replace(chosen, max_nmodules=max_modules)
    if precopy is not None:
        chosen = replace(chosen, precopy=precopy)
    if keep_pages is not None:
        chosen = replace(chosen, kept_page_bytes=keep_pages * MEBIBYTE)
    if direct is not None:
        chosen = replace(chosen, direct=direct)
    configure_logging(settings, runtime=name)
    if exit_with_parent:
        end_with_stdin()
    raise typer.Exit(main(chosen))


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` each. Raises ``SettingsError``."""
    for text in texts:
        if "=" not in text:
            raise SettingsError(f"label {text!r} is not KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def end_with_stdin() -> None:
    """End this process when whoever holds the other end of its stdin is gone, ``kill -9`` or not.

    It gets SIGTERM, and 15 s later no more time.
    """

    def watch() -> None:
        # Not through sys.stdin: a thread that waits in there breaks the interpreter's own end.
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_FAREWELL)
        os._exit(1)

    threading.Thread(target=watch, name="end with stdin", daemon=True).start()
