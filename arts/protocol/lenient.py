"""What real clients send instead of the documented form, turned into the documented form.

Each type here is a pydantic annotation; the forms come from recorded traffic of the original
ARTS, its simulated and browser runtimes and SilverLine. Whatever is not one of those forms is
refused: lenient in the shapes we know, strict towards nonsense.
"""

from math import isfinite
from typing import Annotated, Any, Final

from pydantic import BeforeValidator
from pydantic_core import from_json

from arts.model import Ability, ChannelSpec, Filetype
from arts.protocol.topics import is_safe_id

DEFAULT_APIS: Final = (
    "wasi:snapshot_preview1",
    "wasi:unstable",
    "wasi:core",
    "wasi:clock",
    "wasi:environ",
    "wasi:sock",
    "wasi:args",
    "wasi:fd",
    "wasi:path",
    "wasi:poll",
    "wasi:proc",
    "wasi:random",
    "wasi:sched",
    "python:python3",
)
"""What a runtime offers when it does not say."""

_FILETYPES: Final = {
    "WA": Filetype.WASM,
    "WASM": Filetype.WASM,
    "PY": Filetype.PYTHON,
    "PYTHON": Filetype.PYTHON,
    "EXT": Filetype.EXTERNAL,
}


_ABILITIES: Final = {str(ability): ability for ability in Ability}


def _abilities(value: Any) -> frozenset[Ability]:
    """Those that we know: a runtime may be newer than its supervisor."""
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("must be a list of texts")
    return frozenset(_ABILITIES[name] for name in map(str, value) if name in _ABILITIES)


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not is_safe_id(value):
        raise ValueError("must be a uuid, or up to 64 letters, digits, '_', ':', '@', '-', '.'")
    return value


def _words(value: Any) -> tuple[str, ...]:
    """None, a list, ``"a b"``, or a list as Python prints it: ``"['a', 'b']"``."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = _printed_list(value) if value.startswith("[") else value.split()
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("must be text or a list of texts")
    words = [word for item in value for word in _one_word(item)]
    return tuple(words)


def _apis(value: Any) -> tuple[str, ...]:
    """As ``_words``, and a list may hold ``"a b"``: no api has a space in its name."""
    return tuple(api for word in _words(value) for api in word.split())


def _one_word(item: Any) -> tuple[str, ...]:
    if not isinstance(item, str | int | float):
        raise ValueError("must be text or a list of texts")
    text = str(item)
    return (text,) if text else ()


def _printed_list(text: str) -> list[Any]:
    try:
        value = from_json(text.replace("'", '"'))
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise ValueError("looks like a list but is none")
    return value


def _reference(value: Any) -> str | None:
    """None, ``""``, ``{}``, ``"{}"`` mean nobody; ``{"uuid": ..}``, uuid or name mean one."""
    if isinstance(value, dict):
        value = value.get("uuid")
    if value in (None, "", "{}"):
        return None
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("must be a uuid or a name")
    return value


def _filetype(value: Any) -> Filetype:
    try:
        return _FILETYPES[str(value).upper()]
    except KeyError:
        raise ValueError(f"must be one of {', '.join(_FILETYPES)}") from None


def _channels(value: Any) -> tuple[ChannelSpec, ...]:
    """A list of channels, or that list as text; ``""`` and ``"['']"`` are the empty list."""
    if isinstance(value, str):
        value = _printed_list(value) if value.strip() else []
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of channels")
    return tuple(_channel(item) for item in value if item != "")


def _channel(item: Any) -> ChannelSpec:
    """Native ``{path, topic, mode, qos}``, or ARENA's ``{path, type, mode, params: {topic}}``."""
    if isinstance(item, ChannelSpec):
        return item
    if not isinstance(item, dict):
        raise ValueError("a channel must be an object with path and topic")
    params = item.get("params")
    topic = item.get("topic") or (params.get("topic") if isinstance(params, dict) else None)
    path, mode, qos = item.get("path"), item.get("mode", "rw"), item.get("qos", 1)
    if not isinstance(path, str) or not path.startswith("/ch/"):
        raise ValueError("a channel's path must start with /ch/")
    if not isinstance(topic, str) or not topic or "\0" in topic:
        raise ValueError(f"channel {path} needs a topic")
    if mode not in ("r", "w", "rw"):
        raise ValueError(f"channel {path}: mode must be r, w or rw")
    if "w" in mode and ("+" in topic or "#" in topic):
        raise ValueError(f"channel {path}: a topic to write to cannot have wildcards")
    if qos not in (0, 1):
        raise ValueError(f"channel {path}: qos must be 0 or 1")
    sequenced = item.get("sequenced", False)
    if not isinstance(sequenced, bool):
        raise ValueError(f"channel {path}: sequenced must be true or false")
    return ChannelSpec(path=path, topic=topic, mode=mode, qos=qos, sequenced=sequenced)


def _count(value: Any) -> Any:
    """Some clients measure in fractions what is counted."""
    return round(value) if isinstance(value, float) and isfinite(value) else value


Abilities = Annotated[frozenset[Ability], BeforeValidator(_abilities)]
Identifier = Annotated[str, BeforeValidator(_identifier)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Apis = Annotated[tuple[str, ...], BeforeValidator(_apis)]
Reference = Annotated[str | None, BeforeValidator(_reference)]
FiletypeName = Annotated[Filetype, BeforeValidator(_filetype)]
Count = Annotated[int, BeforeValidator(_count)]
Channels = Annotated[tuple[ChannelSpec, ...], BeforeValidator(_channels)]
