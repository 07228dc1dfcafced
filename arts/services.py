"""What the supervisor asks of the program store and of whoever keeps the checkpoints."""

from collections.abc import Collection
from typing import Any, Protocol

from arts.model import FormWish, Program
from arts.realm.effects import FindSnapshot, ForgetSnapshots, SendSnapshot


class Programs(Protocol):
    """What the supervisor asks of the program store."""

    def known(self, filename: str, digest: str | None, form: FormWish) -> Program | None:
        """The program in this form if it is at hand, without waiting."""
        ...

    async def resolve(self, filename: str, digest: str | None, form: FormWish) -> Program:
        """Find it, fetch it, prepare it. Raises ``ProgramError``."""
        ...

    def learn_pause(self, digest: str, seconds: float) -> None:
        """A module that ran this form took so long to pause."""
        ...


class Keeper(Protocol):
    """What the supervisor asks of whoever keeps the checkpoints. Answers are events."""

    def find(self, wanted: FindSnapshot) -> None:
        """-> SnapshotFound | NoSnapshot."""
        ...

    def send(self, wanted: SendSnapshot) -> None:
        """-> SnapshotUnfit, if it cannot be sent."""
        ...

    def forget(self, wanted: ForgetSnapshots) -> None:
        """Drop them."""
        ...

    def forget_all_but(self, known: Collection[str]) -> None:
        """The realm has these modules and no others."""
        ...

    async def snapshots(self, module: str) -> list[dict[str, Any]]:
        """What there is of a module."""
        ...

    async def export(self, module: str, number: int | None, transfer: str) -> dict[str, Any]:
        """Send a checkpoint to who listens to ``transfer``. Raises ``ArtsError``."""
        ...
