"""What the supervisor says: answers to requests, and who supervises. Knows no JSON, no topic."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Response(BaseModel):
    """The one answer to a request."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    details: dict[str, Any] | str
    """An object when ``ok``; a sentence when not."""
    code: str | None = None
    """Error code when not ``ok``."""
    missing: Literal["runtime", "module"] | None = None
    """What kind of thing does not exist (``not_found``)."""
    subject: Any = None
    """What the refusal is about: the name that means nothing, the field that is wrong."""


class SupervisorNotice(BaseModel):
    """Retained: who supervises the realm, and how programs can be had."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance: str
    http_url: str | None = None
    version: str = ""
    online: bool = True
