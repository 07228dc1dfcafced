"""``arts scene``: the programs of an ARENA scene, and the panel that manages them in there."""

from typing import Annotated, Any

import typer
from rich.table import Table

from arts.cli.common import (
    BrokerOption,
    JsonOption,
    RealmOption,
    connect,
    err,
    escaped,
    fail,
    out,
    print_json,
    run,
)

Document = dict[str, Any]

_PROGRAM = "Name or object_id."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scene")(scene)


def scene(
    name: Annotated[
        str, typer.Argument(metavar="NAMESPACE/SCENE", help="The scene.", show_default=False)
    ],
    panel: Annotated[
        bool | None, typer.Option("--panel/--no-panel", help="Show the panel, or take it away.")
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="PROGRAM", help=_PROGRAM)] = None,
    stop: Annotated[str | None, typer.Option(metavar="PROGRAM", help=_PROGRAM)] = None,
    restart: Annotated[str | None, typer.Option(metavar="PROGRAM", help=_PROGRAM)] = None,
    move: Annotated[str | None, typer.Option(metavar="PROGRAM", help=_PROGRAM)] = None,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Show the programs of an ARENA scene, and a panel in the scene that starts and stops them.

    Without any option the panel is shown.
    """
    verbs = {"start": start, "stop": stop, "restart": restart, "move": move}
    wanted = [(verb, program) for verb, program in verbs.items() if program is not None]
    if len(wanted) > 1:
        fail(f"one thing at a time: not {' and '.join(f'--{verb}' for verb, _ in wanted)}", 2)
    if panel is not None or not wanted:
        wanted.insert(0, ("hide" if panel is False else "show", ""))
    document = run(_ask(broker, realm, name, wanted))
    if as_json:
        print_json(document)
        return
    out.print(render_scene(document))
    if document["panel"]:
        err.print(f"The panel is in the scene; arts scene {escaped(name)} --no-panel takes it away")


async def _ask(
    broker: str | None, realm: str | None, name: str, wanted: list[tuple[str, str]]
) -> Document:
    document: Document = {}
    async with connect(broker, realm) as client:
        for action, program in wanted:
            document = await client.scene(name, action, program)
    return document


def render_scene(document: Document) -> Table:
    """A line for each instance, or for a program that has none."""
    title = f"Scene {document['namespace']}/{document['scene']}, viewers: {document['viewers']}"
    table = Table(title=escaped(title), title_justify="left", box=None)
    for column in ("program", "id", "viewer", "state", "runtime", "detail"):
        table.add_column(column, overflow="fold")
    for program in document["programs"]:
        for instance in program["instances"] or [{}]:
            cells = (
                program["name"],
                program["object_id"],
                instance.get("viewer") or ("each" if program["instantiate"] == "client" else ""),
                instance.get("state") or ("stopped" if program["stopped"] else "no viewer"),
                instance.get("runtime") or "",
                instance.get("detail") or "",
            )
            table.add_row(*map(escaped, cells))
    return table
