"""``arts doctor``: is everything here that ARTS needs, and does the realm answer?"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from rich.table import Table

from arts.cli.common import (
    BrokerOption,
    ConfigOption,
    JsonOption,
    RealmOption,
    connect,
    escaped,
    locate,
    out,
    print_json,
)
from arts.errors import ArtsError

if TYPE_CHECKING:
    from arts.settings import Settings

# (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
_ADD = bytes.fromhex(
    "0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b"
)

_STYLES = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    verdict: Literal["ok", "warning", "error"]
    detail: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
    config: ConfigOption = None,
) -> None:
    """Check this installation, and the realm if one is up. Exit status 1 if something is wrong."""
    from arts.settings import load_settings

    settings = load_settings(config, broker=broker, realm=realm)
    findings = list(examine(settings, broker, realm))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        out.print(_table(findings))
    raise typer.Exit(int(any(finding.verdict == "error" for finding in findings)))


def examine(settings: "Settings", broker: str | None, realm: str | None) -> Iterator[Finding]:
    """Check after check."""
    yield _python()
    yield _checked("wasm engine", _engine)
    yield _brokers()
    yield _checked("network", _loopback)
    yield _checked("data directory", lambda: _writable(settings.data_dir))
    yield _realm(broker, realm)
    yield from _sessions(broker, realm)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    detail = f"{version} on {sys.platform}"
    if sys.platform != "linux":
        return Finding("python", "warning", f"{detail}: only Linux is tested")
    return Finding("python", "ok", detail)


def _checked(check: str, work: Callable[[], str]) -> Finding:
    """``work`` says what is fine, or raises whatever is not."""
    try:
        return Finding(check, "ok", work())
    except Exception as error:  # what a broken installation raises is anybody's guess
        return Finding(check, "error", f"{type(error).__name__}: {error}")


def _engine() -> str:
    from importlib.metadata import version

    import wasmtime

    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, _ADD), [])
    add = instance.exports(store)["add"]
    assert isinstance(add, wasmtime.Func)
    if add(store, 2, 3) != 5:
        raise ArithmeticError("2 + 3 is not 5 in WebAssembly")
    return f"wasmtime {version('wasmtime')} runs programs"


def _brokers() -> Finding:
    import importlib.util

    from arts.bus.broker import find_mosquitto

    if mosquitto := find_mosquitto():
        return Finding("broker", "ok", mosquitto)
    if importlib.util.find_spec("iotcore"):
        return Finding("broker", "ok", "embedded (mosquitto is not installed)")
    return Finding("broker", "error", "neither mosquitto nor the embedded broker is installed")


def _loopback() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.settimeout(2)
        client.connect(server.getsockname())
    return "programs on this machine can talk to each other"


def _writable(directory: Path) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        return str(directory)


def _realm(broker: str | None, realm: str | None) -> Finding:
    try:
        url, name = locate(broker, realm)
    except ArtsError as error:
        return Finding("realm", "warning", str(error))
    try:
        return Finding("realm", "ok", asyncio.run(_ask(url, name)))
    except ArtsError as error:
        return Finding("realm", "error", str(error))


async def _ask(broker: str, realm: str) -> str:
    async with connect(broker, realm) as client:
        document = await client.query("realm")
    counts = f"{len(document['runtimes'])} runtimes, {len(document['modules'])} modules"
    return f"{realm!r} at {broker.rsplit('@', 1)[-1]}: {counts}"


def _sessions(broker: str | None, realm: str | None) -> Iterator[Finding]:
    """Whether modules with channels can move at the broker, as far as there is one to ask."""
    from arts.bus.probe import probe_takeover
    from arts.bus.session import MqttSession

    try:
        url, name = locate(broker, realm)
    except ArtsError:
        return
    try:
        reason = asyncio.run(probe_takeover(lambda client: MqttSession(url, client), name))
    except ArtsError as error:
        yield Finding("sessions", "warning", f"not tried: {error}")
        return
    if reason is not None:
        yield Finding("sessions", "error", f"modules with channels cannot run: {reason}")
    else:
        yield Finding("sessions", "ok", "the broker hands the sessions of modules over")


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, show_header=False)
    for finding in findings:
        table.add_row(finding.check, _STYLES[finding.verdict], escaped(finding.detail))
    return table
