"""MQTT's own rules for topic names and topic filters, and nothing of what ARTS calls its topics."""

from arts.errors import BusError

MAX_PAYLOAD = 256 * 1024 * 1024 - 1 - 65_535 - 4
"""Bytes. MQTT counts topic, packet identifier and payload in 28 bits."""

_MAX_NAME = 65_535


def check_publication(topic: str, payload: bytes, qos: int) -> None:
    """Raise ``BusError`` for what a broker would cut the connection for."""
    if "+" in topic or "#" in topic:
        raise BusError(f"cannot publish to {topic!r}: it contains a wildcard")
    if not topic or "\0" in topic or not _fits(topic):
        raise BusError(f"cannot publish to {topic[:80]!r}: not a topic name of MQTT")
    if qos not in (0, 1):
        raise BusError(f"cannot publish with QoS {qos}: only 0 and 1 survive a reconnect here")
    if len(payload) > MAX_PAYLOAD:
        raise BusError(f"cannot publish {len(payload)} bytes to {topic!r}: MQTT ends at 256 MiB")


def check_filter(topic_filter: str, qos: int) -> None:
    """Raise ``BusError`` unless this is a valid topic filter with QoS 0 or 1."""
    levels = topic_filter.split("/")
    valid = (
        topic_filter != ""
        and "\0" not in topic_filter
        and "#" not in "".join(levels[:-1])
        and all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
        and _fits(topic_filter)
    )
    if not valid:
        raise BusError(f"cannot subscribe to {topic_filter[:80]!r}: not a topic filter of MQTT")
    if qos not in (0, 1):
        raise BusError(f"cannot subscribe with QoS {qos}: only 0 and 1 survive a reconnect here")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message on ``topic`` goes to subscribers of ``topic_filter`` (MQTT 4.7)."""
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    wanted, present = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        del wanted[-1]
        present = present[: len(wanted)]
    return len(wanted) == len(present) and all(
        level in ("+", name) for level, name in zip(wanted, present, strict=True)
    )


def _fits(name: str) -> bool:
    try:
        return len(name.encode()) <= _MAX_NAME
    except UnicodeEncodeError:
        return False
