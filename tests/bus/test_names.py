"""Broker URLs, topic names and topic filters."""

import pytest

from arts.bus.address import Address, parse_address
from arts.bus.topics import MAX_PAYLOAD, check_filter, check_publication, matches
from arts.errors import BusError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://h", Address("mqtt", "h", 1883)),
        ("mqtts://h", Address("mqtts", "h", 8883)),
        ("ws://h", Address("ws", "h", 80)),
        ("wss://h/", Address("wss", "h", 443)),
        ("wss://h:1/p/q", Address("wss", "h", 1, path="/p/q")),
        ("mqtt://u@[::1]:2", Address("mqtt", "::1", 2, username="u")),
        ("mqtt://u%3A:p%40@h", Address("mqtt", "h", 1883, username="u:", password="p@")),
        ("mqtt://:p@h", Address("mqtt", "h", 1883, username="", password="p")),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize("url", ["", "h:1883", "http://h", "mqtt://", "mqtt://h:99999", "mqtt://["])
def test_bad_urls(url: str) -> None:
    with pytest.raises(BusError, match="not a broker URL"):
        parse_address(url)


def test_passwords_are_not_shown() -> None:
    address = parse_address("mqtt://user:secret@[::1]:5")
    assert str(address) == "mqtt://[::1]:5"
    with pytest.raises(BusError) as caught:
        parse_address("amqp://user:secret@host")
    assert "secret" not in str(caught.value)


def test_what_rides_on_what() -> None:
    kinds = {
        s: (parse_address(f"{s}://h").transport, parse_address(f"{s}://h").tls)
        for s in ("mqtt", "mqtts", "ws", "wss")
    }
    assert kinds == {
        "mqtt": ("tcp", False),
        "mqtts": ("tcp", True),
        "ws": ("websockets", False),
        "wss": ("websockets", True),
    }


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a/b", False),
        ("a/b", "a", False),
        ("+", "a", True),
        ("+", "", True),
        ("+", "a/b", False),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/#", "b", False),
        ("+/b/#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/$x", "a/$x", True),
    ],
)
def test_filters_match_as_the_specification_says(
    topic_filter: str, topic: str, expected: bool
) -> None:
    assert matches(topic_filter, topic) is expected


def test_quality_of_service_two_is_refused() -> None:
    with pytest.raises(BusError, match="QoS 2"):
        check_publication("a", b"", 2)
    with pytest.raises(BusError, match="QoS 2"):
        check_filter("a", 2)


def test_payload_that_mqtt_cannot_frame_is_refused() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_PAYLOAD + 1

    with pytest.raises(BusError, match="256 MiB"):
        check_publication("a", Huge(), 0)
