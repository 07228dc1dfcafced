"""What all tests share: how hard hypothesis tries. ``ARTS_TEST_PROFILE``: quick, ci or soak."""

import os

import pytest
from hypothesis import HealthCheck, settings

# The rows of the contract are not in files of tests, and should fail as well as those do.
pytest.register_assert_rewrite("tests.protocol.contract")

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile(
    "quick", max_examples=20, stateful_step_count=40, derandomize=True, **_COMMON
)
settings.register_profile(
    "ci", max_examples=100, stateful_step_count=60, derandomize=True, **_COMMON
)
settings.register_profile("soak", max_examples=5000, stateful_step_count=120, **_COMMON)
settings.load_profile(os.environ.get("ARTS_TEST_PROFILE", "ci"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """``combinations(run=...)``: which combinations of a test's parameters there are."""
    left_out = [item for item in items if not _is_run(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_run(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("combinations")
    if marker is None:
        return True
    assert isinstance(item, pytest.Function)
    is_run: bool = marker.kwargs["run"](**item.callspec.params)
    return is_run
