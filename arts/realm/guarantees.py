"""What is promised of the messages of a channel, in words. PURE.

Brokers differ when they themselves are restarted or killed: docs/explanation/faults.md.
"""

from arts.model import ChannelSpec, Durability


def guarantees(channel: ChannelSpec, durability: Durability) -> dict[str, str]:
    """``in`` and ``out``, as far as the channel is read and written: what becomes of messages on a
    planned move, and when the module's runtime dies."""
    durable = durability is not Durability.NONE
    promised = {}
    if "r" in channel.mode:
        promised["in"] = _of_input(channel, durable) if channel.qos else _AT_MOST_ONCE
    if "w" in channel.mode:
        promised["out"] = _of_output(channel, durable) if channel.qos else _AT_MOST_ONCE
    return promised


_AT_MOST_ONCE = "at most once (QoS 0): may be lost on a move, and when the runtime dies"


def _of_input(channel: ChannelSpec, durable: bool) -> str:
    if not durable:
        crash = "what was taken and not finished is lost when the runtime dies"
    elif channel.sequenced:
        crash = "and when the runtime dies, from sequenced writers"
    else:
        crash = "at least once when the runtime dies"
    return f"exactly once on a move; {crash}"


def _of_output(channel: ChannelSpec, durable: bool) -> str:
    if not durable:
        crash = "what was not sent is lost when the runtime dies"
    elif channel.sequenced:
        crash = "and when the runtime dies, to sequenced readers"
    else:
        crash = "at least once when the runtime dies"
    return f"exactly once on a move; {crash}"
