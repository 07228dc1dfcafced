"""``arts up``: a whole realm on this machine, until Ctrl-C."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from arts.cli.common import (
    ConfigOption,
    DataDirOption,
    OwnBrokerOption,
    OwnRealmOption,
    err,
    escaped,
    out,
    run,
)
from arts.errors import FailedPrecondition

if TYPE_CHECKING:
    from arts.cli.local_realm import LocalRealm, RealmPlan

_TRY = """
Try, in another terminal:
  [bold]arts run counter[/]        start a program
  [bold]arts ps[/]                 see what runs where
  [bold]arts migrate counter[/]    move it while it runs
  [bold]arts logs -f counter[/]    what it says
Ctrl-C stops everything."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    runtimes: Annotated[int, typer.Option("--runtimes", "-n", min=0, help="How many.")] = 2,
    port: Annotated[
        int | None,
        typer.Option(help="Of the broker; 0 is any.", show_default="1883 if free, else any"),
    ] = None,
    http_port: Annotated[int | None, typer.Option(help="Of HTTP; 0 is any.")] = None,
    data_dir: DataDirOption = None,
    broker: OwnBrokerOption = None,
    realm: OwnRealmOption = None,
    config: ConfigOption = None,
) -> None:
    """Start a broker, a supervisor and runtimes on this machine; Ctrl-C stops them.

    A runtime or broker that dies is started again. If the supervisor dies, everything stops.
    """
    from arts.cli.local_realm import RealmPlan
    from arts.cli.runfile import read_run_file
    from arts.settings import load_settings

    settings = load_settings(
        config,
        broker=broker,
        realm=realm,
        data_dir=data_dir,
        listen={"port": port},
        http={"port": http_port},
    )
    if running := read_run_file(settings.data_dir):
        raise FailedPrecondition(
            f"a realm is up in {settings.data_dir} already (process {running.pid}); "
            "give another --data-dir for a second one"
        )
    plan = RealmPlan(
        data_dir=settings.data_dir,
        realm=settings.realm,
        broker=settings.broker,
        host=settings.listen.host,
        port=settings.listen.port,
        http_port=settings.http.port,
        runtimes=runtimes,
        config=config,
    )
    run(_up(plan))


async def _up(plan: "RealmPlan") -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    working = asyncio.create_task(_keep_up(plan))
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait((working, signalled), return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if not working.done():
        err.print("Stopping ...")
        working.cancel()
        await asyncio.wait([working])
        return
    working.result()


async def _keep_up(plan: "RealmPlan") -> None:
    from arts.cli.local_realm import local_realm
    from arts.cli.runfile import run_file

    with err.status(f"Starting a supervisor and {plan.runtimes} runtimes ..."):
        opening = local_realm(plan, _report)
        realm = await opening.__aenter__()
    try:
        with run_file(
            plan.data_dir, broker=realm.broker_url, realm=realm.name, http=realm.http_url
        ):
            out.print(_table(realm, plan))
            out.print(_TRY)
            await realm.watch()
    finally:
        await opening.__aexit__(None, None, None)


def _report(text: str) -> None:
    err.print(f"[yellow]{escaped(text)}[/]", soft_wrap=True)


def _table(realm: "LocalRealm", plan: "RealmPlan") -> Table:
    from arts.bus.address import parse_address

    where = str(parse_address(realm.broker_url))  # without the password
    table = Table(title=f"Realm {escaped(realm.name)}", title_justify="left", box=None)
    for column in ("what", "process", "where"):
        table.add_column(column, overflow="fold")
    table.add_row(f"broker ({realm.broker.kind})", _pid(realm.broker.pid), where)
    if realm.http_url and realm.broker_url.startswith("mqtt"):
        table.add_row("  for browsers", "", realm.http_url.replace("http", "ws", 1) + "/mqtt")
    table.add_row("supervisor", _pid(realm.supervisor.pid), realm.http_url)
    for runtime in realm.runtimes:
        table.add_row(runtime.name, _pid(runtime.pid), "")
    table.add_row("data and logs", "", str(plan.data_dir))
    return table


def _pid(pid: int | None) -> str:
    return "-" if pid is None else str(pid)
