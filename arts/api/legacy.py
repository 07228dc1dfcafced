"""The REST interfaces of ARTS and SilverLine, read-only, as their clients expect them.

    GET /arts-api/v1/{runtimes,modules}/[{uuid}/]    and v2: ARTS, plain arrays
    GET /arts-api/v1/config/                         where the broker is, and the topics
    GET /api/{runtimes,modules}/[{which}/], /api/queued/    SilverLine, in pages of everything

Writing over REST never reached a runtime there and is refused as it was without a login. Knows the
realm as plain documents.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from arts.bus.address import parse_address
from arts.protocol.dialects import arts
from arts.protocol.dialects.silverline2022 import SilverLine2022
from arts.protocol.topics import Topics

Document = Mapping[str, Any]
Realm = Callable[[], Document]
"""The whole realm as plain data; raises ``LookupError`` while there is none yet."""

_ENDED: Final = ("exited", "failed", "lost")
_HERE: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "")


class LegacyRest:
    """The routes, for a realm and its broker."""

    def __init__(self, realm: Realm, broker_url: str, ws_port: int | None) -> None:
        self._realm = realm
        self._broker = parse_address(broker_url)
        self._ws_port = ws_port
        self._silverline = SilverLine2022(Topics("realm"))

    def add_to(self, app: web.Application) -> None:
        """Add every route; each also without its last slash, as a redirect."""
        routes: dict[str, Any] = {"/api/queued/": self._queued}
        for version in ("v1", "v2"):
            base = f"/arts-api/{version}"
            routes[f"{base}/config/"] = self._config
            for kind in ("runtimes", "modules"):
                routes[f"{base}/{kind}/"] = self._list
                routes[f"{base}/{kind}/{{which}}/"] = self._one
        for kind in ("runtimes", "modules"):
            routes[f"/api/{kind}/"] = self._list_silverline
            routes[f"/api/{kind}/{{which}}/"] = self._one_silverline
        for path, handler in routes.items():
            app.router.add_get(path, handler)
            app.router.add_get(path.rstrip("/"), _with_slash)
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                app.router.add_route(method, path, _unauthorized)

    # ------------------------------------------------------------------ ARTS

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(self._arts(_kind(request)))

    async def _one(self, request: web.Request) -> web.Response:
        kind, which = _kind(request), request.match_info["which"]
        for found in self._arts(kind):
            if found["uuid"] == which:
                return web.json_response(found)
        name = kind.removesuffix("s").capitalize()
        message = f"{name} with uuid: {which} does not exist"
        return web.json_response({"message": message}, status=404)

    def _arts(self, kind: str) -> list[dict[str, Any]]:
        render = arts.runtime_fields if kind == "runtimes" else arts.shown
        return [render(document) for document in self._alive(kind)]

    async def _config(self, request: web.Request) -> web.Response:
        host = self._broker.host if self._broker.host not in _HERE else request.url.host
        topics = Topics(str(self._document()["realm"]))
        named = {"reg": topics.registry, "ctl": topics.control, "dbg": f"{topics.proc}/debug"}
        ws_port = self._ws_port or request.url.port  # the broker is also behind /mqtt/ here
        server = {"host": host, "port": self._broker.port, "ws_port": ws_port}
        return web.json_response(
            {
                "mqtt_server": server,
                "mqtt_username": None,
                "mqtt_password": None,
                "subscribe_topics": [
                    {"name": name, "topic": topic, "on_message": name}
                    for name, topic in named.items()
                ],
            }
        )

    # ------------------------------------------------------------------ SilverLine

    async def _list_silverline(self, request: web.Request) -> web.Response:
        kind = _kind(request)
        if kind == "runtimes":
            return _page(self._with_children(document) for document in self._alive(kind))
        return _page(self._short(document) for document in self._alive(kind))

    async def _queued(self, _: web.Request) -> web.Response:
        modules = self._document()["modules"]
        return _page(self._short(m) for m in modules if m["state"] == "pending")

    async def _one_silverline(self, request: web.Request) -> web.Response:
        kind, which = _kind(request), request.match_info["which"]
        found = _find(self._document()[kind], which)
        if found is None:
            return web.Response(status=404)
        if kind == "modules":
            fields = self._silverline.shown(found)
            return web.json_response(fields | {"file": fields["filename"]})
        return web.json_response(self._silverline.runtime_fields(found) | self._family(found))

    def _with_children(self, runtime: Document) -> dict[str, Any]:
        fields = self._silverline.runtime_fields(runtime)
        short = {key: fields[key] for key in ("uuid", "name", "runtime_type", "aot_target")}
        return short | self._family(runtime)

    def _family(self, runtime: Document) -> dict[str, Any]:
        uuid, modules = runtime["uuid"], self._document()["modules"]
        queued = [m for m in modules if m["state"] == "pending" and _uuid(m["pinned_to"]) == uuid]
        children = {child["uuid"] for child in runtime["children"]}
        return {
            "children": [self._short(m) for m in modules if m["uuid"] in children],
            "queued": [self._short(m) for m in queued],
        }

    def _short(self, module: Document) -> dict[str, Any]:
        file = module["filename"]
        parent = _uuid(module["parent"] or module["pinned_to"])
        names = {"uuid": module["uuid"], "name": module["name"], "parent": parent}
        return names | {"filename": file, "file": file}

    # ------------------------------------------------------------------ the realm

    def _document(self) -> Document:
        try:
            return self._realm()
        except LookupError:
            raise web.HTTPServiceUnavailable(text="the supervisor is starting") from None

    def _alive(self, kind: str) -> list[Document]:
        documents = self._document()[kind]
        if kind == "runtimes":
            return [d for d in documents if d["state"] != "lost"]
        return [d for d in documents if d["state"] not in (*_ENDED, "pending")]


def _kind(request: web.Request) -> str:
    return "runtimes" if "/runtimes/" in request.path else "modules"


def _uuid(named: Mapping[str, Any] | None) -> str | None:
    return named["uuid"] if named else None


def _find(documents: list[Document], which: str) -> Document | None:
    """By uuid, else by name, else by how the uuid ends."""
    for same in (
        lambda d: d["uuid"] == which,
        lambda d: d["name"] == which,
        lambda d: d["uuid"].endswith(which),
    ):
        if found := next(filter(same, documents), None):
            return found
    return None


def _page(results: Iterable[dict[str, Any]]) -> web.Response:
    found = list(results)
    return web.json_response({"count": len(found), "start": 0, "results": found})


async def _with_slash(request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently(request.path + "/")


async def _unauthorized(_: web.Request) -> web.Response:
    detail = "Authentication credentials were not provided."
    return web.json_response({"detail": detail}, status=403)
