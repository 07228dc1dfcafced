"""Every topic ARTS uses, built and taken apart in one place. Knows no payload and no MQTT.

All topics of ARTS and SilverLine live under ``{realm}/proc``; those of ARENA's scheme under
``{realm}/g`` (runtimes) and ``{realm}/s`` (scenes). docs/reference/topics.md lists them.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

_LONGEST = 1024
_SAFE_ID = re.compile(r"[A-Za-z0-9_:@-][A-Za-z0-9_.:@-]{0,63}")


def is_safe_id(text: str) -> bool:
    """Whether an identifier from outside may become a level of a topic."""
    return _SAFE_ID.fullmatch(text) is not None


def is_sayable(topic: str) -> bool:
    """Whether a topic from outside may be published to."""
    return 0 < len(topic) <= _LONGEST and not any(c in topic for c in "+#\0")


class Scene(NamedTuple):
    """A scene of ARENA."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Place(NamedTuple):
    """Where in ARENA's scheme a topic is: ``{realm}/s/{namespace}/{scene}/{kind}/{rest...}``, or
    ``{realm}/g/{namespace}/{kind}/{rest...}``."""

    scene: Scene | None
    """None outside scenes (``g``)."""
    namespace: str
    kind: str
    """``p`` programs, ``o`` objects, ..."""
    rest: tuple[str, ...]
    """What follows, at least one level."""


@dataclass(frozen=True)
class Topics:
    """The topics of one realm, e.g. ``Topics("realm")``."""

    realm: str

    @cached_property
    def proc(self) -> str:
        """Root of everything here."""
        return f"{self.realm}/proc"

    @cached_property
    def registry(self) -> str:
        """Runtimes register and take leave here; answers come back on the same topic."""
        return f"{self.proc}/reg"

    @cached_property
    def control(self) -> str:
        """Requests about modules; answers to clients that name no ``reply_to`` too."""
        return f"{self.proc}/control"

    def registry_of(self, runtime: str) -> str:
        """SilverLine's runtimes and managers register here, each on a topic of its own."""
        return f"{self.registry}/{runtime}"

    def control_of(self, runtime: str) -> str:
        """Commands for one runtime."""
        return f"{self.control}/{runtime}"

    @cached_property
    def keepalive(self) -> str:
        """Keepalives of old runtimes; native ones use ``keepalive_of``."""
        return f"{self.proc}/keepalive"

    def keepalive_of(self, runtime: str) -> str:
        """Keepalives of one runtime."""
        return f"{self.keepalive}/{runtime}"

    def events_of(self, runtime: str) -> str:
        """What one runtime reports about its modules. ``+`` for all."""
        return f"{self.proc}/events/{runtime}"

    def reply(self, client: str) -> str:
        """Answers for one client."""
        return f"{self.proc}/reply/{client}"

    @cached_property
    def journal(self) -> str:
        """What happens in the realm, as it happens, for people."""
        return f"{self.proc}/log/realm"

    @cached_property
    def complaints(self) -> str:
        """What SilverLine has to say about requests that it refuses."""
        return f"{self.proc}/log/orchestrator"

    @cached_property
    def notices(self) -> str:
        """Where SilverLine of 2022 says that a module has exited."""
        return f"{self.proc}/notif"

    @cached_property
    def supervisor_state(self) -> str:
        """Retained: which supervisor process is in charge. A new one makes runtimes re-announce."""
        return f"{self.proc}/state/supervisor"

    def runtime_state(self, runtime: str) -> str:
        """Retained read model of one runtime; empty when it is gone."""
        return f"{self.proc}/state/runtime/{runtime}"

    def module_state(self, module: str) -> str:
        """Retained read model of one module; empty when it is gone."""
        return f"{self.proc}/state/module/{module}"

    def scene(self, scene: str) -> str:
        """Requests about one scene (``namespace/name``); answers go to ``reply_to``."""
        return f"{self.proc}/scene/{scene}"

    def stdio(self, stream: str, module: str) -> str:
        """Lines of ``stdin``, ``stdout`` or ``stderr`` of one module, raw text."""
        return f"{self.proc}/debug/{stream}/{module}"

    def snapshot_data(self, migration: str) -> str:
        """Chunks from source to target."""
        return f"{self.proc}/snapshot/{migration}/data"

    def snapshot_credit(self, migration: str) -> str:
        """Credits and re-requests from target to source."""
        return f"{self.proc}/snapshot/{migration}/credit"

    def snapshot_points(self, migration: str) -> str:
        """Where the module last stood, while it runs at the source: for the target to prepare."""
        return f"{self.proc}/snapshot/{migration}/points"

    def snapshot_foreseen(self, migration: str) -> str:
        """The target has prepared for those points."""
        return f"{self.proc}/snapshot/{migration}/foreseen"

    def snapshot_pages(self, migration: str) -> str:
        """Chunks of what leaves ahead of the snapshot, while the module still runs."""
        return f"{self.proc}/snapshot/{migration}/pages"

    def snapshot_pages_credit(self, migration: str) -> str:
        """Credits and re-requests for those."""
        return f"{self.proc}/snapshot/{migration}/pages-credit"

    def snapshot_line(self, migration: str) -> str:
        """Where the target may dial the source, and with which token (MessagePack)."""
        return f"{self.proc}/snapshot/{migration}/line"

    def snapshot_kept(self, migration: str) -> str:
        """Identity (raw) of all that the target has kept of that; empty: nothing, no more."""
        return f"{self.proc}/snapshot/{migration}/kept"

    def measure(self, runtime: str) -> str:
        """Questions about what a move from this runtime would carry (``protocol.plan``)."""
        return f"{self.proc}/measure/{runtime}"

    def measured(self, runtime: str, asker: str) -> str:
        """The answers for one asker."""
        return f"{self.proc}/measure/{runtime}/{asker}"

    def checkpoint_data(self, module: str, runtime: str) -> str:
        """Chunks of a checkpoint from a runtime to the store. ``+`` for all."""
        return f"{self.proc}/checkpoint/{module}/data/{runtime}"

    def checkpoint_credit(self, module: str, runtime: str) -> str:
        """What the store answers to the chunks: credits and re-requests."""
        return f"{self.proc}/checkpoint/{module}/credit/{runtime}"

    def checkpoint_verdict(self, module: str, runtime: str) -> str:
        """What became of a checkpoint: kept, or why not."""
        return f"{self.proc}/checkpoint/{module}/verdict/{runtime}"

    def program_request(self, digest: str) -> str:
        """Asks the supervisor for a program where HTTP cannot be used."""
        return f"{self.proc}/programs/{digest}/get"

    def program_data(self, digest: str, runtime: str) -> str:
        """The chunks of a program for one runtime."""
        return f"{self.proc}/programs/{digest}/data/{runtime}"

    def program_credit(self, digest: str, runtime: str) -> str:
        """What that runtime answers to the chunks: credits and re-requests."""
        return f"{self.proc}/programs/{digest}/credit/{runtime}"

    # ------------------------------------------------------------------ ARENA

    def arena_runtime(self, namespace: str, runtime: str) -> str:
        """A runtime registers, and is answered. ``+`` for all."""
        return f"{self.realm}/g/{namespace}/p/{runtime}"

    def arena_module(self, scene: "Scene", *levels: str) -> str:
        """Requests about the programs of a scene, and their answers."""
        return "/".join((self.realm, "s", scene.namespace, scene.name, "p", *levels))

    def arena_place(self, topic: str) -> "Place | None":
        """An ARENA topic taken apart; None for any other."""
        levels = topic.split("/")
        match levels[1:] if levels[0] == self.realm else []:
            case ["g", namespace, kind, *rest] if rest:
                return Place(None, namespace, kind, tuple(rest))
            case ["s", namespace, scene, kind, *rest] if rest:
                return Place(Scene(namespace, scene), namespace, kind, tuple(rest))
        return None

    def last_level(self, topic: str, prefix: str) -> str | None:
        """The one level of ``topic`` below ``prefix``, e.g. the runtime of an events topic."""
        head, _, tail = topic.rpartition("/")
        return tail if head == prefix and tail else None
