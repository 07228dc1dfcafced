"""Commands that show the realm: ``ps``, ``inspect``, ``why``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from arts.cli.common import (
    BrokerOption,
    JsonOption,
    ModuleArgument,
    RealmOption,
    connect,
    escaped,
    fail,
    out,
    print_json,
    run,
)
from arts.errors import NotFound

if TYPE_CHECKING:
    from arts.client import Client

Document = dict[str, Any]

_REFRESH = 2.0
_AT_MOST_EVERY = 0.2
_STYLES = {"running": "green", "online": "green", "failed": "red", "lost": "red"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(ps)
    app.command()(inspect)
    app.command()(why)


def ps(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing.")] = False,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Show runtimes and modules."""
    if watch and as_json:
        fail("--watch is for people, --json for programs", 2)
    run(_watch(broker, realm) if watch else _ps(broker, realm, as_json))


async def _ps(broker: str | None, realm: str | None, as_json: bool) -> None:
    async with connect(broker, realm) as client:
        document = await client.query("realm")
    if as_json:
        print_json(document)
    else:
        out.print(render_realm(document))


async def _watch(broker: str | None, realm: str | None) -> None:
    async with connect(broker, realm) as client, client.changes() as changes:
        changed = asyncio.Event()
        noticing = asyncio.create_task(_notice(changes, changed))
        try:
            with _screen() as show:
                while True:
                    changed.clear()
                    show(render_realm(await client.query("realm")))
                    await asyncio.sleep(_AT_MOST_EVERY)
                    # Not for ever: load changes without being announced.
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), _REFRESH)
        finally:
            noticing.cancel()


async def _notice(changes: AsyncIterator[Any], changed: asyncio.Event) -> None:
    async for _ in changes:
        changed.set()


@contextmanager
def _screen() -> Iterator[Callable[[Group], None]]:
    """A function that shows the newest state: in place on a terminal, one below the other else."""
    from rich.live import Live

    if not out.is_terminal:
        yield out.print
        return
    with Live(console=out, auto_refresh=False, screen=True) as live:
        yield lambda state: live.update(state, refresh=True)


async def _next_change(changes: Any) -> None:
    """Wait until something changes, but not too long: load changes without being announced."""
    try:
        async with asyncio.timeout(_REFRESH):
            await anext(changes)
    except TimeoutError:
        return


def inspect(
    key: Annotated[str, typer.Argument(help="A module or runtime: name, uuid, or its beginning.")],
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Show everything about one module or runtime, and its story."""
    run(_inspect(key, as_json, broker, realm))


async def _inspect(key: str, as_json: bool, broker: str | None, realm: str | None) -> None:
    async with connect(broker, realm) as client:
        document = await find(client, key)
    if as_json:
        print_json(document)
    else:
        out.print(render_document(document))


async def find(client: "Client", key: str) -> Document:
    """The module that ``key`` means, or else the runtime. Raises ``NotFound``."""
    for kind in ("module", "runtime"):
        try:
            return await client.query(kind, key)
        except NotFound:
            continue
    raise NotFound(f"no module and no runtime {key!r}")


def why(
    module: ModuleArgument,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Explain why a module is where it is."""
    run(_why(module, as_json, broker, realm))


async def _why(module: str, as_json: bool, broker: str | None, realm: str | None) -> None:
    async with connect(broker, realm) as client:
        decision = await client.query("why", module)
    if as_json:
        print_json(decision)
    else:
        out.print(render_decision(decision))


# ---------------------------------------------------------------------------- as tables


def render_realm(document: Document) -> Group:
    """The whole realm."""
    return Group(_runtimes(document["runtimes"]), "", _modules(document["modules"]))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _state(document: Document) -> str:
    state = document["state"]
    style = _STYLES.get(state, "yellow")
    return f"[{style}]{state}[/]"


def _runtimes(runtimes: list[Document]) -> Table:
    table = _table("Runtimes", "name", "uuid", "state", "modules", "cpu", "memory", "engine")
    for runtime in runtimes:
        load = runtime["load"] or {}
        table.add_row(
            escaped(runtime["name"]),
            runtime["uuid"][:8],
            _state(runtime),
            f"{runtime['nmodules']}/{runtime['max_nmodules']}",
            f"{load['cpu_percent']:.0f} %" if load else "-",
            f"{load['memory_percent']:.0f} %" if load else "-",
            escaped(runtime["engine"] or "-"),
        )
    return table


def _modules(modules: list[Document]) -> Table:
    table = _table("Modules", "name", "uuid", "state", "runtime", "moves", "cpu", "memory", "note")
    for module in modules:
        stats = module["stats"] or {}
        table.add_row(
            escaped(module["name"]),
            module["uuid"][:8],
            _state(module),
            escaped((module["parent"] or {}).get("name") or "-"),
            str(max(0, module["generation"] - 1)),
            f"{stats['cpu_usage_percent']:.0f} %" if stats else "-",
            size(stats["mem_usage"]) if stats else "-",
            escaped(note(module)),
        )
    return table


def note(module: Document) -> str:
    """The one thing worth knowing about a module besides its state."""
    if module["migration"]:
        target = module["migration"]["target"] or {}
        return f"{module['migration']['phase']}, to {target.get('name') or target.get('uuid')}"
    if module["exit_code"] is not None:
        return f"exit code {module['exit_code']}"
    if module["detail"]:
        return str(module["detail"])
    return "; ".join(f"{name}: {reason}" for name, reason in module["reasons"].items())


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"


def render_document(document: Document) -> Group:
    """One thing with its story."""
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column()
    facts.add_column(overflow="fold")
    for key, value in document.items():
        if key != "story" and value not in (None, [], {}, ""):
            facts.add_row(f"[dim]{key}[/]", escaped(_plain(key, value)))
    story = _table("Story", "when", "what")
    for entry in document.get("story", []):
        story.add_row(clock_time(entry["at"]), escaped(str(entry["what"])))
    return Group(facts, "", story)


def _plain(key: str, value: Any) -> str:
    if key == "created_at":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if key == "guarantees":
        promised = ((path, way, text) for path, ways in value.items() for way, text in ways.items())
        return "\n".join(f"{path} {way}: {text}" for path, way, text in promised)
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items() if item is not None)
    if isinstance(value, list):
        return "\n".join(_plain("", item) for item in value)
    return str(value)


def clock_time(at: float) -> str:
    """Wall time (seconds since the epoch) as a time of day here."""
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"


def render_decision(decision: Document) -> Group:
    """Why a module is where it is."""
    table = _table("", "runtime", "score", "verdict")
    for candidate in decision["candidates"]:
        chosen = candidate["runtime"] == decision["chosen"]
        reason = candidate["reason"]
        verdict = f"[red]{escaped(reason)}[/]" if reason else "[green]chosen[/]" if chosen else "ok"
        score = "-" if candidate["score"] is None else f"{candidate['score']:g}"
        table.add_row(escaped(candidate["name"]), score, verdict)
    state = f"{decision['name']} is {decision['state']}; policy {decision['policy']}"
    return Group(escaped(f"{state}, lowest score wins"), table)
