"""Every test here needs a real Postfix; where there is none, each says why it was not run."""

from __future__ import annotations

import pytest

from .instance import why_not


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark, and skip where no private Postfix can be run."""
    reason = why_not()
    for item in items:
        if "postfix" in item.path.parts[-2:-1]:
            item.add_marker(pytest.mark.postfix)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
