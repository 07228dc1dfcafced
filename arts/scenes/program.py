"""The data of a program object, as ARENA's schema has it, and the module that it means.

What is checked when it is said: every field, by name and form. What can only be said when an
instance is made: the variables. Fields of the schema that mean nothing here are accepted and kept;
any other is refused, because a misspelt ``instantiate`` would otherwise be a riddle.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from arts.errors import InvalidRequest
from arts.model import Filetype, Limits, OnRuntimeLost
from arts.protocol import lenient
from arts.protocol.messages import CreateModule
from arts.scenes.model import Instance, ProgramObject, SceneSettings

SHOWN_ONLY: Final = frozenset(
    {"run_info", "object_type", "type", "timestamp", "createdAt", "updatedAt"}
)
"""Fields that programs and stores write into the data, and that are no part of what is asked."""

STORE: Final = "store/users"
_URL: Final = ("http://", "https://")
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_SEGMENT: Final = re.compile(r"[^/\\?#\x00-\x1f\x7f]{1,128}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(text: str) -> bool:
    """Whether it is a uuid as ARENA writes them."""
    return _UUID.fullmatch(text) is not None


def _path(value: str) -> str:
    """A path in the file store, without slashes around it."""
    path = value.strip("/")
    parts = path.split("/") if path else []
    if any(part in (".", "..") or not _SEGMENT.fullmatch(part) for part in parts):
        raise ValueError("must be a path without '..', '//', '?', '#' or '\\'")
    return path


def _file(value: str) -> str:
    file = value if value.startswith(_URL) else _path(value)
    if not file:
        raise ValueError("must not be empty")
    return file


def _none_is_missing(value: Any) -> Any:
    return "none" if value in ("", None) else value


class ProgramData(BaseModel):
    """The ``data`` of a program object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    file: Annotated[str, AfterValidator(_file)] = ""
    filename: Annotated[str, AfterValidator(_file)] = ""
    """What ``file`` was called before."""
    location: Annotated[str, AfterValidator(_path)] = ""
    filetype: lenient.FiletypeName = Filetype.WASM
    instantiate: Literal["single", "client"] = "client"
    affinity: Annotated[Literal["client", "none"], BeforeValidator(_none_is_missing)] = "none"
    parent: lenient.Reference = None
    args: lenient.Words = ()
    env: lenient.Words = ()
    channels: Annotated[tuple[dict[str, Any], ...], Field(max_length=64)] = ()

    apis: lenient.Apis = ()
    program: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    labels: dict[str, str] = {}
    limits: Limits = Limits()
    on_runtime_lost: OnRuntimeLost = OnRuntimeLost.REPLACE

    @property
    def entry(self) -> str:
        """The file to run."""
        return self.file or self.filename


def check(data: Mapping[str, Any], object_id: str) -> ProgramData:
    """The data of a program object. Raises ``InvalidRequest`` with every fault in it."""
    try:
        program = ProgramData.model_validate(_without_nulls(data))
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None
    if not program.entry:
        raise InvalidRequest("file: Field required")
    if program.instantiate == "single" and not is_uuid(object_id):
        raise InvalidRequest(
            f"object_id: must be a uuid where instantiate is 'single', and {object_id!r} is none"
        )
    return program


def _without_nulls(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _explain(error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "no such field of a program"
        problems.append(f"{where}: {message}")
    return "; ".join(problems[:5])


# ---------------------------------------------------------------------------- the module it means


def module_for(
    program: ProgramObject,
    instance: Instance,
    settings: SceneSettings,
    *,
    viewers_runtime: str | None,
) -> CreateModule:
    """The module of one instance. Raises ``InvalidRequest`` where a variable has no value.

    ``${runtimeid}`` stays as it is: only the realm knows where the module will start.
    """
    data = check(program.data, program.key.object_id)
    scene = program.key.scene
    values = dict(instance.variables) | {
        "scene": scene.name,
        "namespace": scene.namespace,
        "mqtth": settings.mqtt_host,
        "moduleid": instance.uuid,
        "runtimeid": "${runtimeid}",
    }
    fields = data.model_dump(
        include={"name", "filetype", "apis", "program", "labels", "limits", "on_runtime_lost"}
    )
    fields |= {
        "uuid": instance.uuid,
        "parent": (viewers_runtime if data.affinity == "client" else None) or data.parent,
        "strict_parent": settings.strict_parent,
        "filename": source_of(data, settings),
        "extras": {"location": data.location, "scene": str(scene)},
        "args": [_filled(word, values) for word in data.args],
        "env": [_filled(word, values) for word in data.env],
        "channels": [_filled_channel(channel, values) for channel in data.channels],
    }
    try:
        return CreateModule.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None


def source_of(data: ProgramData, settings: SceneSettings) -> str:
    """Where the realm finds the program.

    Python goes by its bare name with the location beside it: its runtime fetches the whole folder.
    """
    stored = settings.file_store and data.location and not data.entry.startswith(_URL)
    if not stored or data.filetype is not Filetype.WASM:
        return data.entry
    assert settings.file_store is not None
    return f"{settings.file_store.rstrip('/')}/{STORE}/{quote(f'{data.location}/{data.entry}')}"


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            known = ", ".join(sorted(values))
            raise InvalidRequest(
                f"nobody says what ${{{name}}} is: it is none of {known}, "
                "nor in the query string of the viewer"
            )
        return values[name]

    return _VARIABLE.sub(value, text)


def _filled_channel(channel: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """A channel with the variables of its path and topic replaced, wherever its topic stands."""
    filled = dict(channel)
    for key in ("path", "topic"):
        if isinstance(filled.get(key), str):
            filled[key] = _filled(filled[key], values)
    params = filled.get("params")
    if isinstance(params, dict) and isinstance(params.get("topic"), str):
        filled["params"] = params | {"topic": _filled(params["topic"], values)}
    return filled
