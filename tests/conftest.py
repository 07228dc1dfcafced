"""What all tests share: how hard hypothesis tries. ``ARTS_TEST_PROFILE``: quick, ci or soak."""

import os

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile(
    "quick", max_examples=30, stateful_step_count=50, derandomize=True, **_COMMON
)
settings.register_profile(
    "ci", max_examples=150, stateful_step_count=80, derandomize=True, **_COMMON
)
settings.register_profile("soak", max_examples=5000, stateful_step_count=120, **_COMMON)
settings.load_profile(os.environ.get("ARTS_TEST_PROFILE", "ci"))
