"""Only what was asked for may differ after a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailtls.core.sighting import Rehearsal, Sighting, changes, gathered, unasked

SEEN = Sighting("220 mx ESMTP", ("PIPELINING", "STARTTLS"), "TLSv1.3 X", "ab" * 32, ("PIPELINING",))
FAULT = Sighting("220 mx ESMTP", ("STARTTLS",), fault="STARTTLS is answered with '454 x'")

SAID = [
    (SEEN, SEEN, ()),
    (SEEN, replace(SEEN, banner="220 other"), ("the greeting was 220 mx ESMTP and is 220 other",)),
    (SEEN, replace(SEEN, keywords=("PIPELINING",)), ("EHLO no longer announces STARTTLS",)),
    (SEEN, replace(SEEN, inside=("PIPELINING", "AUTH")), ("EHLO within TLS now announces AUTH",)),
    (SEEN, replace(SEEN, keywords=("STARTTLS", "PIPELINING")), ("EHLO announces the same in another order",)),
    (SEEN, replace(SEEN, secured="", certificate=""), ("the TLS connection was TLSv1.3 X and is none",)),
    (SEEN, Sighting("554 no"), ("the greeting was 220 mx ESMTP and is 554 no",)),
    (SEEN, replace(SEEN, certificate="cd" * 32), (f"the certificate was {'ab' * 8} and is {'cd' * 8}",)),
    (FAULT, replace(FAULT, fault=""), ("this is over: STARTTLS is answered with '454 x'",)),
]


@pytest.mark.parametrize(("before", "after", "said"), SAID)
def test_every_difference_is_said(before: Sighting, after: Sighting, said: tuple[str, ...]) -> None:
    assert changes(before, after) == said


OTHER = replace(SEEN, banner="220 new")
JUDGED = [
    # before, after, how it behaved in the trials, whether something was not asked for
    (SEEN, SEEN, Rehearsal(SEEN, SEEN), False),
    (SEEN, OTHER, Rehearsal(SEEN, OTHER), False),
    (SEEN, OTHER, Rehearsal(SEEN, SEEN), True),
    (SEEN, OTHER, Rehearsal(None, None), False),
    (SEEN, FAULT, Rehearsal(SEEN, FAULT), True),
    (SEEN, FAULT, Rehearsal(None, None), True),
    (FAULT, FAULT, Rehearsal(FAULT, FAULT), False),
    (FAULT, SEEN, Rehearsal(FAULT, SEEN), False),
    (None, SEEN, Rehearsal(None, SEEN), False),
    (None, FAULT, Rehearsal(None, FAULT), True),
]


@pytest.mark.parametrize(("before", "after", "rehearsal", "wrong"), JUDGED)
def test_what_the_trial_did_not_show_was_not_asked_for(
    before: Sighting | None, after: Sighting, rehearsal: Rehearsal, wrong: bool
) -> None:
    assert bool(unasked(before, after, rehearsal)) is wrong


def test_services_of_which_the_same_is_said_are_put_together() -> None:
    assert gathered([("a", "x"), ("b", "y"), ("c", "x")]) == ("services a, c: x", "service b: y")
