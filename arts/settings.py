"""The configuration of a supervisor: one frozen tree, built once at the edge and handed down.

From weakest to strongest: defaults, a TOML file, the environment (``ARTS_REALM``,
``ARTS_LIVENESS__LOST_AFTER``), what the command line says. The command line builds it with
``load_settings``; every other part is given its branch and reads no file and no environment.
Seconds and bytes unless a name says otherwise.
"""

from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from arts.errors import SettingsError
from arts.log import LogFormat
from arts.model import ProfileChoice

_EXAMPLES = Path(__file__).resolve().parents[1] / "wasm-apps"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listen(_Section):
    """Where our own broker listens; unused when the broker is somebody else's."""

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """None: 1883 if it is free, any other if not. 0: any."""
    ws_port: int | None = Field(default=None, ge=0, le=65535)
    """MQTT over websockets, for browsers. None: not at all. 0: any."""


class Http(_Section):
    """Where the supervisor serves programs, and MQTT to browsers."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0: any."""
    public_url: str | None = None
    """How runtimes reach it, where that is not ``http://host:port``."""
    origins: tuple[str, ...] = ()
    """Web sites, besides our own, whose pages may talk to the broker through ``/mqtt``."""


class StoreSettings(_Section):
    """What durable means."""

    synchronous: Literal["normal", "full"] = "normal"
    """``normal`` survives ``kill -9`` of the supervisor, ``full`` a power cut too."""


class Liveness(_Section):
    """How long the realm waits for whom. The names are those of ``RealmSettings``."""

    lease_factor: PositiveFloat = 3.0
    """A lease is so many keepalive intervals."""
    lost_after: PositiveFloat = 10.0
    """From suspicion to giving a runtime up."""
    link_grace: PositiveFloat = 10.0
    """After the supervisor's own absence nobody is suspected for so long."""
    start_timeout: PositiveFloat = 30.0
    stop_timeout: PositiveFloat = 10.0
    prepare_timeout: PositiveFloat = 30.0
    freeze_timeout: PositiveFloat = 10.0
    restore_timeout: PositiveFloat = 30.0
    switch_timeout: PositiveFloat = 3.0


class ProgramSettings(_Section):
    """Where programs come from, and how large they may be."""

    search_path: tuple[Path, ...] = (Path("wasm-apps"), _EXAMPLES)
    """Directories in which a program's file name is looked up: by default those of the working
    directory, and the examples of the checkout that ARTS runs from."""
    allow_absolute: bool = False
    """Whether a request may name any file the supervisor can read."""
    max_bytes: PositiveInt = 64 * 1024 * 1024
    profile: ProfileChoice = "auto"
    """How often programs look whether they shall pause, unless their modules say."""
    pause_bound: PositiveFloat = 0.002
    """With ``auto``: a program that was seen to compute on for longer, when asked to pause, polls
    in all its loops from its next start on."""
    fetch_timeout: PositiveFloat = 30.0
    """For each attempt at a URL."""
    fetch_attempts: PositiveInt = 4
    continuations_bytes: PositiveInt = 256 * 1024 * 1024
    """How much of what continues captured stacks is kept for the next who asks."""


class CheckpointSettings(_Section):
    """What is kept of modules that outlive their runtimes."""

    max_bytes: PositiveInt = 4 * 1024 * 1024 * 1024
    """Of all checkpoints, as they are on disk."""
    keep: PositiveInt = 3
    """The newest of each module; older ones are dropped."""
    max_module_bytes: PositiveInt = 1024 * 1024 * 1024
    """The largest single checkpoint that is taken."""


class SceneSection(_Section):
    """Programs in ARENA scenes. The names are those of ``SceneSettings``."""

    enabled: bool = True
    """Whether program objects in scenes become modules."""
    mqtt_host: str | None = None
    """What ``${mqtth}`` becomes: how programs reach the broker. None: as the supervisor does."""
    web_host: str | None = None
    """The ARENA web host, as ``run_info`` names it. None: the same as ``mqtt_host``."""
    file_store: str | None = Field(default=None, pattern=r"^https?://[^/?#\s]+/?$")
    """``https://host`` of the ARENA file store. None: a program's ``file`` is looked up as in any
    create, and its ``location`` means nothing."""
    per_viewer: bool = True
    """Start an instance of each ``client`` program for each viewer. Off where the viewers' web
    clients do that themselves."""
    strict_parent: bool = False
    """Refuse a ``parent`` that nobody knows; otherwise the realm chooses a runtime."""
    panels: tuple[str, ...] = ()
    """Scenes (``namespace/scene``, with ``*`` for any) that show the panel of their programs."""
    viewer_grace: PositiveFloat = 60.0
    """After the supervisor's own absence a viewer must be heard within this, or has left."""
    run_info_interval: PositiveFloat = 5.0
    """Counters in ``run_info`` are shown no more often."""


class LogSettings(_Section):
    """What is said on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: LogFormat = "auto"


class Settings(BaseSettings):
    """Everything a supervisor is told from outside."""

    model_config = SettingsConfigDict(
        env_prefix="ARTS_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    realm: str = Field(default="realm", pattern=r"^[^/+#\x00]+$")
    broker: str = "auto"
    """``auto``, ``mosquitto`` or ``embedded``: have one of our own. Otherwise a URL."""
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("arts"))
    policy: str = "least-modules"
    listen: Listen = Listen()
    http: Http = Http()
    store: StoreSettings = StoreSettings()
    liveness: Liveness = Liveness()
    programs: ProgramSettings = ProgramSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    scenes: SceneSection = SceneSection()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of precedence, strongest first. No ``.env`` file is ever picked up."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """The settings of this process. ``overrides`` are fields of ``Settings``; None is no override.

    Sections can be given in part: ``http={"port": 8080}``. Raises ``SettingsError``.
    """
    if file is not None and not file.is_file():
        raise SettingsError(f"no configuration file {file}")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    given = {name: _without_nones(value) for name, value in overrides.items() if value is not None}
    try:
        return FromFile(**given)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:  # TOML that is none, JSON in the environment that is none
        raise SettingsError(f"the configuration cannot be read: {error}") from None


def _without_nones(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if item is not None}
    return value


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems)
