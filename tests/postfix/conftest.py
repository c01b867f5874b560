"""Every test here needs a real Postfix; where there is none, each says why it was not run."""

from __future__ import annotations

import pytest

from mailtls.edge import doctorfiles, doctorlisteners, listening

from .doctor_pki import Pki, make_pki
from .instance import why_not


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark, and skip where no private Postfix can be run."""
    reason = why_not()
    for item in items:
        if "postfix" in item.path.parts[-2:-1]:
            item.add_marker(pytest.mark.postfix)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of every kind of trouble, for the doctor's rows."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def trusting(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system trust the authority of the rows, and let nobody else use their ports; those from 30000 on are real."""
    monkeypatch.setattr(doctorfiles, "AUTHORITIES", ("-CAfile", str(pki.authority)))
    monkeypatch.setattr(
        doctorlisteners, "bind_error", lambda at: listening.bind_error(at if at[1] >= 30000 else (at[0], 0))
    )
