"""The dialect of SilverLine's orchestrator of 2022: ARTS' envelope, SilverLine's fields.

Nothing but its fields tells it from ARTS: parents are uuids or names and not objects, runtimes say
what type they are. What has no such sign is taken for ARTS.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json

from arts.model import ReplyTo
from arts.protocol import messages as m
from arts.protocol.codec import enveloped
from arts.protocol.dialects.base import Envelope, Malformed, Outgoing
from arts.protocol.dialects.silverline import USUAL_APIS, SilverLine, argv_of, channels

_SIGNS: Final = {
    "runtime": ("runtime_type", "page_size", "aot_target", "platform", "metadata"),
    "module": ("peripherals", "resources", "fault_crash"),
}
_NOBODY: Final = ("", "{}")
_DEFAULT_LIMIT: Final = 100
_PAGE_SIZE: Final = 65_536


class SilverLine2022(SilverLine):
    """SilverLine before its runtime manager."""

    name = "silverline2022"
    request_type = "arts_req"
    response_type = "arts_resp"

    def speaks(self, envelope: Envelope) -> bool:
        """By the fields that ARTS does not have."""
        if envelope.type != self.request_type:
            return False
        if self._is_command(envelope.topic):
            return True
        data, kind = envelope.data, envelope.kind
        if kind == "manager" or envelope.action == "exited":
            return True
        parent = data.get("parent")
        by_name = kind == "module" and isinstance(parent, str) and parent not in _NOBODY
        return by_name or any(data.get(sign) is not None for sign in _SIGNS.get(kind, ()))

    def _unknown(self, envelope: Envelope, reply: ReplyTo) -> Malformed:
        if envelope.kind in ("runtime", "manager", "module"):
            return Malformed("invalid action", reply, subject=envelope.action)
        return Malformed("invalid type", reply, subject=envelope.kind)

    def _limit(self, data: dict[str, Any]) -> Any:
        return data.get("max_nmodules", _DEFAULT_LIMIT)

    def answer(self, to: ReplyTo, answer: m.Response) -> Sequence[Outgoing]:
        """As later, but for an exit, of which everybody is told."""
        if to.action != "exited" or not answer.ok:
            return super().answer(to, answer)
        data = {"type": "module", "uuid": to.about}
        said = enveloped(to.object_id, "exited", data, self.request_type)
        return [Outgoing(self._topics.notices, to_json(said))]

    def _is_answered(self, to: ReplyTo) -> bool:
        return to.action in ("create", "delete")

    def runtime_fields(self, runtime: Mapping[str, Any]) -> dict[str, Any]:
        """With what the later ones no longer say."""
        traits = runtime["traits"]
        return super().runtime_fields(runtime) | {
            "max_nmodules": runtime["max_nmodules"],
            "page_size": traits.get("page_size", _PAGE_SIZE),
            "aot_target": traits.get("aot_target", {}),
        }

    def _flat(self, said: Any, known: list[str]) -> Any:
        """As it was said, unless that was for a runtime of another dialect."""
        return known if said is None or isinstance(said, dict) else said

    def module_fields(
        self, module: Mapping[str, Any], parent: str | None, status: str
    ) -> dict[str, Any]:
        """Two flat fields for arguments and environment, and everything that may be reserved."""
        extras = module["extras"]
        return {
            "type": "module",
            "uuid": module["uuid"],
            "name": module["name"],
            "parent": parent,
            "filename": module["filename"],
            "filetype": module["filetype"],
            "apis": extras.get("apis") or list(module["apis"]) or list(USUAL_APIS),
            "args": self._flat(extras.get("args"), argv_of(module) if module["args"] else []),
            "env": self._flat(extras.get("env"), list(module["env"])),
            "channels": channels(module),
            "peripherals": extras.get("peripherals", []),
            "resources": extras.get("resources"),
            "fault_crash": extras.get("fault_crash", "ignore"),
            "metadata": extras.get("metadata"),
            "status": status,
        }
