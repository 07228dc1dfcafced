"""What is promised of the messages of a channel, in words. PURE.

Brokers differ when they themselves are restarted or killed: docs/explanation/faults.md.
"""

from arts.model import ChannelSpec, Durability


def guarantees(channel: ChannelSpec, durability: Durability) -> dict[str, str]:
    """``in`` and ``out``, as far as the channel is read and written: what becomes of messages on a
    planned move, and when the module's runtime dies."""
    promised = {}
    if "r" in channel.mode:
        lost, others = "what was taken and not finished", "from sequenced writers"
        promised["in"] = _promise(channel, durability, lost, others)
    if "w" in channel.mode:
        lost, others = "what was not sent", "to sequenced readers"
        promised["out"] = _promise(channel, durability, lost, others)
    return promised


def _promise(channel: ChannelSpec, durability: Durability, lost: str, others: str) -> str:
    if not channel.qos:
        return "at most once (QoS 0): may be lost on a move, and when the runtime dies"
    if durability is Durability.NONE:
        crash = f"{lost} is lost when the runtime dies"
    elif channel.sequenced:
        crash = f"and when the runtime dies, {others}"
    else:
        crash = "at least once when the runtime dies"
    return f"exactly once on a move; {crash}"
