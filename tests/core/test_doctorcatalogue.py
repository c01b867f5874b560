"""The closed list of findings: every id is documented, and every id that the checkers use is on it."""

from __future__ import annotations

import re
from pathlib import Path

from mailtls.core.doctorcatalogue import CATALOGUE, rank
from mailtls.core.doctorfinding import DoctorFinding, Severity, merged

ROOT = Path(__file__).parents[2]
CHECKERS = (*ROOT.glob("daemon/mailtls/core/doctor*.py"), *ROOT.glob("daemon/mailtls/service/doctor*.py"))


def test_every_id_that_is_used_is_on_the_list() -> None:
    used = set()
    for path in CHECKERS:
        text = path.read_text()
        used |= set(re.findall(r'DoctorFinding\(\s*"([a-z0-9_]+)"', text))
        used |= set(re.findall(r'_(?:finding|invalid|renewal|file)\(\s*"([a-z0-9_]+)"', text))
    assert len(used) > 40
    assert used <= set(CATALOGUE), used - set(CATALOGUE)


def test_every_id_is_documented_with_its_severity() -> None:
    text = (ROOT / "docs/doctor.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9_]+)` \| (error|warning|note) \|", text, re.MULTILINE))
    assert rows == {name: meaning.severity.value for name, meaning in CATALOGUE.items()}


def test_errors_come_first() -> None:
    order = sorted(CATALOGUE, key=rank)
    severities = [CATALOGUE[name].severity for name in order]
    assert severities == sorted(severities, key=list(Severity).index)


def test_the_same_words_of_several_services_are_said_once() -> None:
    one = DoctorFinding("tls_off", ("a",), "It is off.", "x = y", evidence=("1",))
    other = DoctorFinding("tls_off", ("b",), "It is off.", "x = y", evidence=("1", "2"))
    third = DoctorFinding("tls_off", ("b",), "It is off.", "-o x=y")
    assert [(each.where, each.evidence) for each in merged((one, other, third))] == [(("a", "b"), ("1", "2")), (("b",), ())]
