"""The tables of objections: who is held against what, and that each sentence can be read at night."""

from __future__ import annotations

import ipaddress

import pytest

from mailtls.core import objection
from mailtls.core.objection import DAEMON, EVERYBODY, PERSONS, Case, said
from mailtls.core.register import Register

from .test_mandate import PERSONS_TOO, WANTED_TOO_MUCH, granted, sentence_of
from .waivers import ALICE, NOW, asked, bounds
from .waivers import DAEMON as MAILTLSD


def test_every_check_of_the_file_stands_in_a_table() -> None:
    tabled = {*EVERYBODY, *PERSONS, *DAEMON}
    checks = {
        value
        for name, value in vars(objection).items()
        if name.startswith("_") and not name.startswith("__") and callable(value)
    }
    assert checks == tabled


def test_every_check_of_the_daemon_and_of_persons_is_shown_to_refuse_something() -> None:
    """One that refuses nothing in the tables of test_mandate could be taken out and no test would say so."""
    cases = [(MAILTLSD, EVERYBODY + DAEMON, case) for case in WANTED_TOO_MUCH.values()]
    cases += [(ALICE, EVERYBODY + PERSONS, case) for case in PERSONS_TOO.values()]
    refusing = set()
    for requester, checks, (changes, within, register, _) in cases:
        ask = asked(**changes)
        try:
            network = ipaddress.ip_network(ask.network)
        except ValueError:
            continue
        case = Case(requester, ask, str(ask.network), network, within, register, NOW)
        refusing |= {check for check in checks if check(case) is not None}
    shown_elsewhere = {objection._not_automatic}
    assert {*EVERYBODY, *PERSONS, *DAEMON} - refusing - shown_elsewhere == set()


@pytest.mark.parametrize("what", WANTED_TOO_MUCH)
def test_a_refusal_is_one_printable_sentence_without_its_full_stop(what: str) -> None:
    changes, within, register, _ = WANTED_TOO_MUCH[what]
    sentence = sentence_of(granted(MAILTLSD, asked(**changes), within, register))
    assert sentence.isprintable()
    assert not sentence.endswith(".")


def test_nothing_speaks_against_what_is_in_order() -> None:
    case = Case(ALICE, asked(), "192.0.2.7", ipaddress.ip_network("192.0.2.7"), bounds(), Register(), NOW)
    assert objection.objection(case) is None


def test_times_are_said_in_utc_and_far_ones_by_their_year() -> None:
    assert said(NOW) == "2026-11-21 08:00 UTC"
    assert said(NOW.replace(year=9999)) == "the year 9999"
