"""The doctor on real configurations: what must be found is found, and nothing else, with Postfix's own programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailtls.core.doctorcatalogue import CATALOGUE
from mailtls.core.doctorfinding import Severity
from mailtls.edge import doctorfiles

from .doctor_pki import Pki, make_pki
from .doctor_rows import ROWS, SOUND_ROWS
from .doctor_site import Row, examined, spelled


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates for all rows."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(autouse=True)
def trusting(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system trust the authority of the rows."""
    monkeypatch.setattr(doctorfiles, "AUTHORITIES", ("-CAfile", str(pki.authority)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_exactly_what_is_wrong_is_found(row: Row, tmp_path: Path, pki: Pki) -> None:
    found = examined(row, tmp_path, pki).findings
    assert {each.id for each in found} == row.found, spelled(found)
    assert all(each.seen and each.where for each in found)
    words = spelled(found)
    assert all(word in words for word in row.says), words


def test_sound_configurations_have_no_error_and_no_warning() -> None:
    for row in SOUND_ROWS:
        assert all(CATALOGUE[name].severity is Severity.NOTE for name in row.found), row.name


def test_the_table_has_no_row_twice() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) >= 60
