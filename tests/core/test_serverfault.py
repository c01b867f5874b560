"""Ours or theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailtls.core.serverfault import LASTS, REMEMBERED, ServerFault

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def turn(fault: ServerFault, *minutes: float) -> list[bool]:
    return [fault.turned_bad(f"192.0.2.{number}", NOW + minute * MINUTE) for number, minute in enumerate(minutes)]


def test_a_statement_begins_a_fault_that_lasts_an_hour_after_the_last_one() -> None:
    fault = ServerFault()
    assert not fault.stands(NOW)
    assert fault.told(NOW)
    assert not fault.told(NOW + 30 * MINUTE), "it is the same fault"
    assert fault.stands(NOW + 89 * MINUTE)
    assert not fault.stands(NOW + 90 * MINUTE)
    assert fault.told(NOW + 91 * MINUTE)


def test_three_peers_that_turn_bad_within_minutes_begin_a_fault() -> None:
    fault = ServerFault()
    assert turn(fault, 0, 5, 10) == [False, False, True]
    assert fault.stands(NOW + 10 * MINUTE)
    assert not fault.stands(NOW + 10 * MINUTE + LASTS)


def test_the_same_peer_thrice_or_three_peers_over_an_hour_do_not() -> None:
    fault = ServerFault()
    assert not any(fault.turned_bad("192.0.2.1", NOW + minute * MINUTE) for minute in (0, 1, 2))
    assert not any(turn(ServerFault(), 0, 20, 40))


def test_a_further_peer_prolongs_a_fault_that_stands() -> None:
    fault = ServerFault()
    assert turn(fault, 0, 1, 2, 50) == [False, False, True, False]
    assert fault.stands(NOW + 109 * MINUTE)


def test_the_fault_is_over_when_the_peers_succeed_again() -> None:
    fault = ServerFault()
    turn(fault, 0, 1, 2)
    fault.succeeded("198.51.100.1")
    assert fault.stands(NOW + 3 * MINUTE), "somebody else's success says nothing"
    fault.succeeded("192.0.2.1")
    assert not fault.stands(NOW + 3 * MINUTE)


def test_the_fault_stands_while_enough_peers_stay_failing() -> None:
    fault = ServerFault()
    turn(fault, 0, 1, 2, 3)
    fault.succeeded("192.0.2.0")
    assert fault.stands(NOW + 4 * MINUTE)
    fault.succeeded("192.0.2.1")
    assert not fault.stands(NOW + 4 * MINUTE)


def test_success_does_not_unsay_what_the_server_said() -> None:
    fault = ServerFault()
    fault.told(NOW)
    turn(fault, 0, 1, 2)
    fault.succeeded("192.0.2.1")
    assert fault.stands(NOW + 3 * MINUTE)


def test_a_thousand_peers_are_not_remembered() -> None:
    fault = ServerFault()
    turn(fault, *([1.0] * 1000))
    assert len(fault.turned) == REMEMBERED


# --- a change of ours, and who fails since ---------------------------------------------------------------------


def test_peers_that_turn_bad_after_a_change_are_charged_to_it() -> None:
    fault = ServerFault()
    turn(fault, 1, 2)
    assert fault.turned_since(NOW, NOW + 2 * MINUTE) == (), "two are not enough"
    fault.turned_bad("192.0.2.9", NOW + 3 * MINUTE)
    assert fault.turned_since(NOW, NOW + 3 * MINUTE) == ("192.0.2.0", "192.0.2.1", "192.0.2.9")


def test_a_fault_that_stood_before_the_change_is_not_charged_to_it() -> None:
    fault = ServerFault()
    turn(fault, -3, -2, -1, 1, 2, 3)
    assert fault.turned_since(NOW, NOW + 3 * MINUTE) == ()


def test_peers_of_before_the_change_do_not_count_but_do_not_hide_it_either() -> None:
    fault = ServerFault()
    turn(fault, -3, -2, 1)
    assert fault.stands(NOW + MINUTE)
    assert fault.turned_since(NOW, NOW + MINUTE) == ()
    fault.turned_bad("192.0.2.8", NOW + 2 * MINUTE)
    fault.turned_bad("192.0.2.9", NOW + 2 * MINUTE)
    assert fault.turned_since(NOW, NOW + 2 * MINUTE) == ("192.0.2.2", "192.0.2.8", "192.0.2.9")


def test_peers_that_succeed_again_are_not_charged() -> None:
    fault = ServerFault()
    turn(fault, 1, 2, 3)
    fault.succeeded("192.0.2.1")
    assert fault.turned_since(NOW, NOW + 3 * MINUTE) == ()
