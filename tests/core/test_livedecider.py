"""Deciding beside a live Postfix: the clock, the keeper's list, and what is asked of the keeper."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mailtls.core.action import Action
from mailtls.core.conduct import Conduct
from mailtls.core.decision import Decision, Rule
from mailtls.core.keeperprotocol import Grant, LiveWaiver, Renew, Withdraw
from mailtls.core.knownlegacy import NOBODY, KnownPeers
from mailtls.core.level import Level
from mailtls.core.livedecider import AGAIN, LiveDecider
from mailtls.core.session import Session
from mailtls.core.waiver import Origin

from .screenplay import DAY, HOUR, IP, NAME, NOW, WAIVE, failed, known, left, policy, words, worked, wrote

FAILS = [failed(0), failed(5), failed(10)]
OLD = "198.51.100.9"


def when(minute: float) -> datetime:
    return NOW + timedelta(minutes=minute)


def live(decider: LiveDecider, sessions: list[Session], late: float = 0) -> list[Decision]:
    """Feed sessions at the time that they tell, or so many minutes later."""
    return [
        decision
        for session in sessions
        for decision in decider.take(session, (session.at or NOW) + timedelta(minutes=late))
    ]


def decider_of(text: str = WAIVE, peers: KnownPeers = NOBODY, **more: object) -> LiveDecider:
    return LiveDecider(policy(text), peers, **more)  # type: ignore[arg-type]


def granted(request: object) -> LiveWaiver:
    """What the keeper answers to a grant that it gives."""
    assert isinstance(request, Grant)
    return LiveWaiver(
        id=request.id,
        network=request.network,
        level=request.level,
        owner="policy",
        reason=request.reason,
        granted=NOW,
        until=request.until,
        latest=request.latest or request.until,
        origin=Origin.POLICY,
        cause=request.cause,
    )


def test_a_decision_to_waive_is_a_request_that_says_all_the_keeper_must_know() -> None:
    decider = decider_of()
    (decision,) = live(decider, FAILS)
    request = decider.request(decision)
    assert isinstance(request, Grant)
    assert (request.network, request.level, request.cause) == (IP, Level.LEGACY, "peer_too_old")
    assert request.until == when(10 + 30 * DAY)
    assert request.latest == when(10 + 180 * DAY)
    assert request.authority is None


def test_the_same_log_read_again_asks_the_same_thing() -> None:
    """After a crash between asking and remembering, the keeper sees that it has answered already."""
    first, again = decider_of(), decider_of()
    assert [first.request(each) for each in live(first, FAILS)] == [again.request(each) for each in live(again, FAILS)]


def test_old_evidence_grants_nothing() -> None:
    assert live(decider_of(), FAILS, late=25 * HOUR) == []


def test_evidence_within_the_window_counts_although_it_is_read_late() -> None:
    assert words(live(decider_of(), FAILS, late=5 * HOUR)) == ["waive threshold legacy"]


def test_a_stamp_of_next_year_does_not_make_all_others_old() -> None:
    decider = decider_of()
    decider.take(failed(365 * DAY, ip=OLD), when(0))
    assert words(live(decider, FAILS)) == ["waive threshold legacy"]


def test_a_refused_request_leaves_no_waiver_behind() -> None:
    decider = decider_of()
    (decision,) = live(decider, FAILS)
    decider.refused(decision)
    assert decider.waivers == ()
    assert words(live(decider, [failed(20), failed(25), failed(30)])) == ["waive threshold legacy"]


def test_use_asks_to_renew_and_the_refusal_puts_the_old_end_back() -> None:
    decider = decider_of()
    (decision,) = live(decider, FAILS)
    waiver = granted(decider.request(decision))
    decider.granted(waiver)
    (extended,) = live(decider, [failed(20 * DAY)])
    request = decider.request(extended)
    assert request == Renew(id=waiver.id, generation=1, until=when(50 * DAY))
    decider.refused(extended)
    assert [each.until for each in decider.waivers] == [waiver.until]


def test_an_outgrown_waiver_is_asked_back_by_its_id() -> None:
    decider = decider_of()
    (decision,) = live(decider, FAILS)
    waiver = granted(decider.request(decision))
    decider.granted(waiver)
    (outgrown,) = live(decider, [worked(60)])
    request = decider.request(outgrown)
    assert isinstance(request, Withdraw)
    assert (request.id, request.rule) == (waiver.id, Rule.OUTGROWN)
    decider.ended(waiver)
    assert decider.live() == ()


def given_late(decider: LiveDecider, minute: float) -> None:
    """Let the peer fail, and the keeper's clock be at this minute when it gives the waiver."""
    (decision,) = live(decider, FAILS, late=minute - 10)
    waiver = granted(decider.request(decision))
    decider.granted(waiver.model_copy(update={"granted": when(minute)}))


def test_a_session_of_the_very_second_in_which_the_waiver_began_is_of_its_time() -> None:
    """syslog's stamps have whole seconds, the keeper's clock has not."""
    decider = decider_of(WAIVE.replace('"legacy"', '"cleartext"') + '[limits]\nautomatic = ["cleartext"]\n')
    given_late(decider, 10 + 0.9 / 60)
    assert words(live(decider, [left(10, hidden=True)])) == ["withdraw useless cleartext"]


def test_a_log_that_is_read_late_decides_nothing_twice() -> None:
    decider = decider_of()
    given_late(decider, 5 * HOUR)
    assert live(decider, [failed(15), failed(20), failed(25)], late=5 * HOUR) == []


def test_expiry_is_the_keepers_affair() -> None:
    decider = decider_of()
    (decision,) = live(decider, FAILS)
    decider.granted(granted(decider.request(decision)))
    assert live(decider, [wrote(31 * DAY, ip=OLD)]) == []


def test_the_keepers_list_is_the_truth() -> None:
    decider, other = decider_of(), decider_of()
    (decision,) = live(decider, FAILS)
    waiver = granted(decider.request(decision))
    other.adopt([waiver])
    assert other.live_for(IP, when(20)) == waiver
    assert live(other, FAILS) == [], "it has its waiver"
    other.adopt([])
    assert other.live_for(IP, when(20)) is None


def test_the_end_of_an_earlier_waiver_does_not_end_its_successor() -> None:
    decider = decider_of()
    (decision,) = live(decider, FAILS)
    waiver = granted(decider.request(decision))
    decider.granted(waiver.model_copy(update={"id": "later"}))
    decider.ended(waiver)
    assert [each.id for each in decider.live()] == ["later"]


def test_an_entry_of_the_file_is_told_and_nothing_is_asked() -> None:
    peers = known(f'network = "{IP}"', "legacy", policy(WAIVE), until="2027-01-01")
    decider = decider_of(WAIVE, peers)
    (decision,) = live(decider, [failed(0)])
    assert decision.action is Action.WAIVE
    assert decider.request(decision) is None


def test_a_name_of_the_file_is_the_authority_of_the_request() -> None:
    peers = known(f'name = "{NAME}"', "sslv3", policy(WAIVE), until="2027-01-01")
    decider = decider_of(WAIVE, peers)
    (decision,) = live(decider, [failed(0, 0x18C), failed(5, 0x18C), failed(10, 0x18C)])
    request = decider.request(decision)
    assert isinstance(request, Grant)
    assert (request.level, request.authority) == (Level.SSLV3, NAME)


@pytest.mark.parametrize(("offered", "forgetful"), [((Level.CLEARTEXT,), False), (tuple(Level), True)])
def test_what_cannot_be_given_is_proposed_once_a_day(offered: tuple[Level, ...], forgetful: bool) -> None:
    decider = decider_of(offered=offered)
    decider.forgetful = forgetful
    assert words(live(decider, FAILS)) == ["propose threshold legacy"]
    assert decider.waivers == ()
    assert live(decider, [failed(20), failed(25), failed(30)]) == []
    later = 40 + AGAIN / timedelta(minutes=1)
    assert words(live(decider, [failed(later), failed(later + 5), failed(later + 10)])) == ["propose threshold legacy"]


def test_a_good_history_from_the_store_counts() -> None:
    decider = decider_of()
    assert not decider.remembers(IP)
    decider.recall(IP, Conduct(good="TLSv1.2", used_to_succeed=True))
    assert words(live(decider, FAILS)) == ["advise good_history"]


def test_what_is_known_here_is_newer_than_the_store() -> None:
    decider = decider_of()
    live(decider, [failed(0)])
    decider.recall(IP, Conduct(scanner=True))
    conduct = decider.conduct(IP)
    assert conduct is not None
    assert not conduct.scanner


def test_another_policy_holds_from_then_on_and_waivers_stay() -> None:
    decider = decider_of("")
    decider.adopt([granted(_request(decider_of()))])
    decider.obey(policy(WAIVE), NOBODY)
    assert len(decider.live()) == 1
    decider.adopt([])
    assert words(live(decider, FAILS)) == ["waive threshold legacy"]


def test_what_stands_of_a_peer_can_be_asked_at_any_time() -> None:
    decider = decider_of()
    live(decider, [failed(0)])
    standing = decider.standing(IP, when(1))
    assert standing is not None
    assert (standing.rule, standing.level) == (Rule.NOT_YET, Level.LEGACY)
    assert decider.standing(OLD, when(1)) is None


def _request(decider: LiveDecider) -> object:
    (decision,) = live(decider, FAILS)
    return decider.request(decision)
