"""A door goes into master.cf and out again, byte for byte; what somebody edited goes as a whole, and is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.doorspan import PlacedDoor, is_door, put_in_door, sweep_doors, take_out_door
from mailtls.core.mapentry import Wanted, put_in, take_out
from mailtls.core.mastercf import parse_master_cf
from mailtls.core.secondlock import WAIVED

ENTRY = f"10225 inet n - y - - smtpd\n  -o syslog_name=postfix/mailtls-legacy\n  -o {WAIVED}=permit"
OTHER = ENTRY.replace("10225", "10125").replace("mailtls-legacy", "mailtls-legacy-rsa")
PLAIN = "# mine\nsmtp inet n - y - - smtpd\n  -o a=b\n# between\n\n  # deep\nsubmission inet n - y - - smtpd\n"
OURS = ("lmdb:/t/discard",)


def placed(text: str) -> tuple[str, PlacedDoor]:
    return put_in_door(text, "smtp/inet", "10225/inet", ENTRY)


LINES = st.sampled_from(
    ["smtp inet n - y - - smtpd", "  -o a=b", "  -o { c = d e }", "# words", "", "   # more", "pickup unix n - n 60 1 pickup"]
)


@given(st.lists(LINES, max_size=8), st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_put_in_and_taken_out_leaves_every_byte(before: list[str], after: list[str], ending: str, closed: bool) -> None:
    text = ending.join([*before, "smtp inet n - y - - smtpd", *after]) + (ending if closed else "")
    with_map, insertion = put_in(text, Wanted("smtp/inet", "m", OURS))
    once, first = put_in_door(with_map, "smtp/inet", "10225/inet", ENTRY)
    twice, second = put_in_door(once, "smtp/inet", "10125/inet", OTHER)
    doors = parse_master_cf(twice)
    assert doors.find("10225/inet") is not None
    assert doors.find("10125/inet") is not None
    others = [s.argv for s in parse_master_cf(with_map).services]
    assert [s.argv for s in doors.services if s.key not in ("10225/inet", "10125/inet")] == others
    back, note = take_out_door(twice, second)
    back, other_note = take_out_door(back, first)
    assert (back, note, other_note) == (with_map, None, None)
    assert insertion is not None
    assert take_out(back, insertion, OURS) == (text, None)


def test_it_stands_below_the_service_it_comes_from_with_a_comment() -> None:
    text, _ = placed(PLAIN)
    lines = text.splitlines()
    at = lines.index("10225 inet n - y - - smtpd")
    assert lines[at - 1].startswith("# mailtls: a door for waived peers, derived from smtp/inet")
    assert lines[at - 2] == "  -o a=b"


def test_a_port_that_another_service_has_and_a_service_that_is_gone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a service 10225/inet already; choose another port .* \[doors\] of mailtls.toml"):
        placed(PLAIN + "10225 inet n - y - - smtpd\n")
    with pytest.raises(ValueError, match="no service smtp/inet"):
        placed("# nothing\n")


EDITED = [
    # what somebody did to the entry
    lambda text: text.replace("mailtls-legacy\n", "mailtls-legacy\n  -o mine=1\n"),
    lambda text: text.replace("=permit\n", "=permit\n  -o mine=1\n"),
    lambda text: text.replace("10225 inet n - y", "10225 inet n - n"),
    lambda text: text.replace("# mailtls: a door", "# a door"),
]


@pytest.mark.parametrize("edit", EDITED)
def test_an_edited_door_goes_as_a_whole_and_a_note_says_so(edit: object) -> None:
    text, door = placed(PLAIN)
    edited = edit(text)  # type: ignore[operator]
    assert edited != text
    left, note = take_out_door(edited, door)
    assert note is not None
    assert "was edited since" in note
    assert parse_master_cf(left).find("10225/inet") is None
    assert left.replace("# a door" + left.partition("# a door")[2].partition("\n")[0] + "\n", "") == PLAIN or left == PLAIN


def test_a_door_that_is_gone_or_somebody_elses_by_now_is_left() -> None:
    text, door = placed(PLAIN)
    left, note = take_out_door(PLAIN, door)
    assert (left, "is gone" in (note or "")) == (PLAIN, True)
    other = text.replace(f"  -o {WAIVED}=permit\n", "")
    left, note = take_out_door(other, door)
    assert (left, "is no door of mailtls any more" in (note or "")) == (other, True)


def test_doors_that_nobody_remembers_are_swept_out_with_their_comments() -> None:
    text, _ = placed(PLAIN)
    text, _ = put_in_door(text, "smtp/inet", "10125/inet", OTHER)
    left, notes = sweep_doors(text)
    assert left == PLAIN
    assert len(notes) == 2
    assert sweep_doors(PLAIN) == (PLAIN, ())


def test_the_gateway_s_service_is_a_door_too_and_a_socket_of_the_site_s_is_none() -> None:
    options = " -o syslog_name=postfix/mailtls-backend -o smtpd_restriction_classes=mailtls_waived -o mailtls_waived=permit"
    ours, theirs = parse_master_cf(
        f"mailtls-sslv3 unix n - y - - smtpd{options}\nsmtpd unix n - y - - smtpd -o syslog_name=postfix/mailtls-backend\n"
    ).services
    assert (is_door(ours), is_door(theirs)) == (True, False)
