"""The topics of ARENA scenes (version 2), built and taken apart in one place.

``{realm}/s/{namespace}/{scene}/{kind}/{client}/{object}[/{to}]``, where ``kind`` is ``o`` for
objects, ``u`` for what users are and do (cameras, clicks) and ``x`` for presence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from arts.protocol.topics import Scene

ME: Final = "arts-scenes"
"""The client level of everything we publish; so we know our own messages when they come back."""

_LONGEST: Final = 128


class ScenePlace(NamedTuple):
    """Where in which scene something was said, and by whom."""

    scene: Scene
    kind: str
    client: str
    object_id: str


@dataclass(frozen=True)
class SceneTopics:
    """The scene topics of one realm."""

    realm: str

    def filters(self) -> Iterator[str]:
        """What to subscribe to: every scene."""
        for kind in "oux":
            yield f"{self.realm}/s/+/+/{kind}/+/+"

    def place(self, topic: str) -> ScenePlace | None:
        """What a topic of ``filters`` means; None if a level of it is empty or absurdly long."""
        _, _, namespace, name, kind, client, object_id = topic.split("/")
        levels = (namespace, name, client, object_id)
        if not all(0 < len(level) <= _LONGEST for level in levels):
            return None
        return ScenePlace(Scene(namespace, name), kind, client, object_id)

    def object(self, scene: Scene, object_id: str, to: str = "") -> str:
        """Where we say something about an object, to everybody or to one viewer."""
        everybody = f"{self.realm}/s/{scene}/o/{ME}/{object_id}"
        return f"{everybody}/{to}" if to else everybody

    def requested(self, topic: str) -> Scene | None:
        """The scene that a topic of requests about scenes names."""
        namespace, name = topic.split("/")[-2:]
        return Scene(namespace, name) if namespace and name else None
