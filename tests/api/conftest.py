"""Fixtures of the API tests."""

from tests.support.broker import mosquitto

__all__ = ["mosquitto"]
