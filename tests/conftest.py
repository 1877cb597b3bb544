"""Settings of all tests: hypothesis without deadlines, and no unit test near a socket.

Loopback is all that any test may reach (`--allow-hosts` in pyproject.toml), tests under `unit/` not even
that. An event loop's own socket pair is a Unix one and is allowed.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow; that says nothing about the code. Derandomized, new runs would find nothing new.
settings.register_profile(
    "platform", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("platform")

_UNIT = Path(__file__).parent / "unit"


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The many short files last: they keep both workers busy to the end.
    items.sort(key=lambda item: item.path.is_relative_to(_UNIT))
    for item in items:
        if item.path.is_relative_to(_UNIT):
            item.add_marker(pytest.mark.disable_socket)
