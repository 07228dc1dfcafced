"""Programs over HTTP: runtimes fetch them, people upload them.

    GET  /healthz                {"status": "ok"}
    GET  /programs               every program that is known
    POST /programs?name=NAME&profile=PROFILE&abilities=A,B
                                 the body is a program; answers with what was made of it
    GET  /programs/{sha256}      its bytes, which never change
    POST /programs/{sha256}/continuations
                                 the body is a JSON list of [function id, resume]; the answer a
                                 module that exports c0, c1, ... for these points, in their order
    GET  /mqtt                   the broker, over a websocket, for browsers

An error is a JSON object ``{"error": "one sentence", "code": "..."}``. Knows nothing of the realm.
"""

import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final, cast, get_args

from aiohttp import web

from arts.api.legacy import LegacyRest
from arts.bus.websocket import websocket_bridge
from arts.errors import (
    ArtsError,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    ProgramError,
    SettingsError,
)
from arts.model import EVERY_ABILITY, Ability, FormWish, ProfileChoice, Program
from arts.programs.store import ProgramStore
from arts.protocol.points import parse_points

_STORE: Final = web.AppKey("store", ProgramStore)
# A page in a browser cannot send these to us behind its user's back (they are preflighted).
_UPLOAD_TYPES: Final = ("application/wasm", "application/octet-stream")
_BRIDGED: Final = ("mqtt://", "mqtts://")
_WASM: Final = {
    "Content-Type": "application/wasm",
    # Browser runtimes come from other origins; a digest is no secret and no session.
    "Access-Control-Allow-Origin": "*",
}
_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable", **_WASM}
_PROFILES: Final = ", ".join(get_args(ProfileChoice))
_MAX_POINTS_BYTES: Final = 64 * 1024


def program_document(program: Program, names: list[str]) -> dict[str, Any]:
    """A program as it is shown."""
    return asdict(program) | {
        "migratable": program.migratable,
        "needs": sorted(program.needs),
        "names": names,
    }


def make_app(
    store: ProgramStore,
    *,
    broker_url: str | None = None,
    origins: Collection[str] = (),
    legacy: LegacyRest | None = None,
) -> web.Application:
    """The application, to be run by ``serve`` or mounted in a larger one.

    ``broker_url``: the broker behind ``/mqtt``; None leaves that out. ``origins``: web sites,
    besides our own, whose pages may connect to it. ``legacy``: what ARTS and SilverLine offered.
    """
    app = web.Application(client_max_size=store.max_bytes, middlewares=[_explain_errors])
    app[_STORE] = store
    app.router.add_get("/healthz", _health)
    app.router.add_get("/programs", _list)
    app.router.add_post("/programs", _upload)
    app.router.add_get("/programs/{digest}", _download)
    app.router.add_post("/programs/{digest}/continuations", _continuations)
    if broker_url is not None and broker_url.startswith(_BRIDGED):
        for path in ("/mqtt", "/mqtt/"):  # the second is what ARENA's pages say
            app.router.add_get(path, websocket_bridge(broker_url, origins=origins))
    if legacy is not None:
        legacy.add_to(app)
    return app


@asynccontextmanager
async def serve(
    store: ProgramStore,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    broker_url: str | None = None,
    origins: Collection[str] = (),
    legacy: LegacyRest | None = None,
) -> AsyncIterator[str]:
    """Serve ``make_app`` for the duration; yields the URL. ``port`` 0: any free one.

    Raises ``SettingsError`` if the address cannot be had.
    """
    app = make_app(store, broker_url=broker_url, origins=origins, legacy=legacy)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise SettingsError(f"cannot serve HTTP on {host}:{port}: {error.strerror}") from None
        bound = runner.addresses[0]
        yield f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _list(request: web.Request) -> web.Response:
    programs = request.app[_STORE].programs()
    return web.json_response([program_document(program, names) for program, names in programs])


async def _upload(request: web.Request) -> web.Response:
    if request.content_type not in _UPLOAD_TYPES:
        message = f"send a program as {' or '.join(_UPLOAD_TYPES)}"
        return _error(ProgramError(message), 415)
    name, profile = request.query.get("name"), request.query.get("profile")
    if profile not in (None, *get_args(ProfileChoice)):
        raise InvalidRequest(f"no profile {profile!r}; there are {_PROFILES}")
    form = FormWish(cast(ProfileChoice | None, profile), _abilities(request.query))
    program = await request.app[_STORE].add(await request.read(), name=name, form=form)
    return web.json_response(program_document(program, [name] if name else []), status=201)


def _abilities(query: Mapping[str, str]) -> frozenset[Ability]:
    if "abilities" not in query:
        return EVERY_ABILITY
    names = frozenset(query["abilities"].split(",")) - {"none"}
    if unknown := names - set(map(str, EVERY_ABILITY)):
        raise InvalidRequest(f"no abilities {', '.join(sorted(unknown))}")
    return frozenset(map(Ability, names))


async def _download(request: web.Request) -> web.StreamResponse:
    path = request.app[_STORE].path(request.match_info["digest"])
    return web.FileResponse(path, headers=_FOREVER)


async def _continuations(request: web.Request) -> web.Response:
    if not 0 < (request.content_length or 0) <= _MAX_POINTS_BYTES:
        limit = f"between 1 and {_MAX_POINTS_BYTES} bytes, and say how many"
        return _error(InvalidRequest(f"the body must have {limit}"), 413)
    points = parse_points(_json(await request.read()))
    data = await request.app[_STORE].continuations(request.match_info["digest"], points)
    return web.Response(body=data, headers=_WASM)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not JSON") from None


@web.middleware
async def _explain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except NotFound as error:
        return _error(error, 404)
    except FailedPrecondition as error:
        return _error(error, 409)
    except (InvalidRequest, ProgramError) as error:
        return _error(error, 400)
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[_STORE].max_bytes
        return _error(ProgramError(f"too large a program; the limit is {limit} bytes"), 413)


def _error(error: ArtsError, status: int) -> web.Response:
    return web.json_response({"error": str(error), "code": error.code}, status=status)
