"""What the operator is told of the kernel's table of connections."""

from __future__ import annotations

import pytest

from mailtls.service.remedies import FULL, _filling


@pytest.mark.parametrize(("ratio", "warned"), [(None, False), (0.0, False), (FULL, False), (0.81, True), (1.0, True)])
def test_a_table_of_connections_that_fills_is_a_fault(ratio: float | None, warned: bool) -> None:
    said = _filling(ratio)
    assert (said is not None) is warned
    assert said is None or "nf_conntrack_max" in said
