"""Failures of the shared contract show what differed, as if it stood here."""

import pytest

pytest.register_assert_rewrite("runtime.conformance")
