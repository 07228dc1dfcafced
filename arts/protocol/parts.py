"""What messages have in common, and their parts. Knows no JSON and no topic."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from arts.protocol import lenient

ReportKind = Literal[
    "started",
    "failed",
    "exited",
    "stopped",
    "ready",
    "refused",
    "ahead",
    "frozen",
    "restored",
    "resumed",
    "released",
    "aborted",
]
"""What a report may say."""


class Message(BaseModel):
    """One message. ``object_id`` correlates; it is echoed in the answer."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False
    )

    object_id: str = Field(default="", exclude=True)


class HeldModule(BaseModel):
    """A module that a runtime still holds when it (re-)announces itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    uuid: lenient.Identifier
    generation: int = 0
    migration: str | None = None
    """Set while the copy is one end of a move and does not run."""
    state: Literal["running", "frozen", "restored"] = "running"


class ModuleStats(BaseModel):
    """What one module uses, in a keepalive."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    uuid: lenient.Identifier
    generation: int = 0
    cpu_usage_percent: float = 0.0
    cpu_seconds: float = 0.0
    mem_usage: lenient.Count = 0
    """Bytes of linear memory."""
    messages_in: int = 0
    messages_out: int = 0
    idle_seconds: float = 0.0
    pause_seconds: float = 0.0
    """The longest that it has computed on since it was asked to pause; of this runtime only."""
