"""The tables stand where they have to and nowhere else."""

from __future__ import annotations

import pytest

from mailtls.core.mastercf import MasterCf, parse_master_cf
from mailtls.core.serviceconduct import MAPS
from mailtls.core.setupplan import POSTSCREEN_MAPS, Place, mx_services, places, sweep, unwrite, write

OURS = ("lmdb:/t/discard", "cidr:/t/discard.cidr")
SUBMISSION = "submission inet n - y - - smtpd\n"
PLAIN = f"smtp inet n - y - - smtpd\n{SUBMISSION}"
SCREENED = f"smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n{SUBMISSION}"


def found(master: MasterCf, *named: str) -> tuple[Place, ...]:
    return places(mx_services(master, named), master, lambda _: "smtpd")


FOUND = [
    (PLAIN, (), [Place("smtp/inet", MAPS)]),
    (SCREENED, (), [Place("smtpd/pass", MAPS), Place("smtp/inet", POSTSCREEN_MAPS)]),
    (PLAIN, ("submission",), [Place("submission/inet", MAPS)]),
    (
        "25 inet n - y - - smtpd\n[::1]:25 inet n - y - - smtpd\n",
        (),
        [Place("25/inet", MAPS), Place("[::1]:25/inet", MAPS)],
    ),
]


@pytest.mark.parametrize(("text", "named", "wanted"), FOUND)
def test_the_services_that_take_mail_are_found(text: str, named: tuple[str, ...], wanted: list[Place]) -> None:
    assert list(found(parse_master_cf(text), *named)) == wanted


REFUSED = [
    (SUBMISSION, (), "no service of master.cf listens on port 25"),
    (PLAIN, ("x",), "no inet service x; it has smtp, submission"),
    ("smtp inet n - y - 1 postscreen\n", (), "hands its clients to the service smtpd/pass"),
    ("smtp inet n - y - - spawn\n", (), "runs spawn; only smtpd and postscreen"),
]


@pytest.mark.parametrize(("text", "named", "words"), REFUSED)
def test_what_is_not_understood_is_refused(text: str, named: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        found(parse_master_cf(text), *named)


@pytest.mark.parametrize("text", [PLAIN, SCREENED])
def test_written_and_unwritten_leaves_every_byte(text: str) -> None:
    where = found(parse_master_cf(text))
    written = write(text, where, OURS, {where[0]: "cidr:/own"})
    assert written.text.count(",".join(OURS)) == len(where)
    assert unwrite(written.text, written.insertions, OURS).text == text
    again = write(written.text, where, OURS, {})
    assert (again.text, again.insertions) == (written.text, ())


def test_a_sweep_finds_tables_that_nobody_remembers() -> None:
    text = f"{PLAIN}  -o {MAPS}={','.join(OURS)},cidr:/own\n"
    swept = sweep(text, OURS)
    assert swept.text == f"{PLAIN}  -o {MAPS}=cidr:/own\n"
    assert "'cidr:/own' is left" in swept.notes[0]
    assert sweep(PLAIN, OURS).notes == ()
