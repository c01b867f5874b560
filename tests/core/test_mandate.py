"""Who may have what: a daemon that was taken over asks for everything, and persons are bounded by what exists."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core import mandate
from mailtls.core.cause import Cause
from mailtls.core.duration import LONGEST
from mailtls.core.keeperprotocol import Grant, LiveWaiver, Renew, Step, Withdraw
from mailtls.core.level import Level
from mailtls.core.mandate import Refusal, canonical_network
from mailtls.core.objection import Bounds, Requester
from mailtls.core.policy import parse_policy
from mailtls.core.printable import printable
from mailtls.core.register import Register, is_automatic
from mailtls.core.waiver import Origin
from mailtls.core.waiverlimit import Limited

from .waivers import (
    ALICE,
    DAEMON,
    EVERY_LEVEL,
    NOW,
    POLICY,
    ROOT,
    asked,
    bounds,
    days,
    event,
    known,
    listed,
    persons,
    replayed,
    waiver,
)

NAMED = known(
    """
    [[peer]]
    name = ".plant.example.net"
    level = "sslv3"
    reason = "Controllers of the plant"
    owner = "plant-it"
    until = 2026-12-31
    [[peer]]
    name = "old.example.net"
    level = "cleartext"
    reason = "Old"
    owner = "plant-it"
    until = 2026-12-01
    [[peer]]
    name = "gone.example.net"
    level = "cleartext"
    reason = "Gone"
    owner = "plant-it"
    until = 2026-11-01
    """
)


def granted(
    requester: Requester, ask: Grant, within: Bounds | None = None, register: Register | None = None
) -> LiveWaiver | Refusal:
    return mandate.grant(requester, ask, within or bounds(), register or Register(), NOW)


def sentence_of(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.sentence


def is_safe(sentence: str) -> bool:
    """No terminal obeys anything in it."""
    return printable(sentence, 1000) == sentence


# --- a daemon ----------------------------------------------------------------------------------------------------


def test_the_daemon_gets_what_the_policy_gives() -> None:
    made = granted(DAEMON, asked())
    assert isinstance(made, LiveWaiver)
    assert made == waiver(reason="peer_too_old: it failed")


def full(register: Register, count: int, at: datetime = NOW) -> Register:
    for number in range(count):
        one = waiver(f"198.51.{number // 250}.{number % 250 + 1}")
        register.apply(event(register.last + 1, Step.GRANTED, one, at=at))
    return register


def revoked(network: str) -> Register:
    return replayed(
        [event(1, Step.GRANTED, persons(network), "root"), event(2, Step.WITHDRAWN, persons(network), "root")]
    )


def withdrawn_today(count: int) -> Register:
    register = full(Register(), count)
    for one in list(register.standing.values()):
        register.apply(event(register.last + 1, Step.WITHDRAWN, one))
    return register


WANTED_TOO_MUCH: dict[str, tuple[dict[str, Any], Bounds, Register, str]] = {
    "sslv3, which this machine has no door for": ({"level": Level.SSLV3}, bounds(), Register(), "where NSS (libnss3)"),
    "legacy, whose door does not exist yet": ({"level": Level.LEGACY}, bounds(), Register(), "not served"),
    "legacy, whose door is dead": (
        {"level": Level.LEGACY},
        bounds(served=EVERY_LEVEL, closed={Level.LEGACY: "door legacy is closed: nobody listens there"}),
        Register(),
        "nobody listens there",
    ),
    "a door for one who relays": (
        {"level": Level.LEGACY},
        bounds(served=EVERY_LEVEL, own=(ipaddress.ip_network("192.0.2.0/28"),)),
        Register(),
        "in 192.0.2.0/28 of mynetworks",
    ),
    "sslv3 although its door exists": ({"level": Level.SSLV3}, bounds(served=EVERY_LEVEL), Register(), "automatically"),
    "a never network": ({"network": "10.1.2.3"}, bounds(), Register(), "never.networks"),
    "a never address": ({"network": "::1"}, bounds(), Register(), "never.networks"),
    "a never network, IPv4 in IPv6": ({"network": "::ffff:10.1.2.3"}, bounds(), Register(), "never.networks"),
    "everybody": ({"network": "0.0.0.0/0"}, bounds(), Register(), "every address"),
    "everybody, IPv6": ({"network": "::/0"}, bounds(), Register(), "every address"),
    "everybody, IPv4 in IPv6": ({"network": "::ffff:0:0/96"}, bounds(), Register(), "every address"),
    "a network": ({"network": "192.0.2.0/30"}, bounds(), Register(), "networks are waived by persons only"),
    "no address": ({"network": "mail.example.com"}, bounds(), Register(), "no address or network"),
    "no address but control characters": ({"network": "\x1b[2J"}, bounds(), Register(), "no address or network"),
    "an address with a zone": ({"network": "fe80::1%eth0"}, bounds(), Register(), "zone"),
    "multicast": ({"network": "224.0.0.1"}, bounds(), Register(), "no address that a peer connects from"),
    "the unspecified address": ({"network": "::"}, bounds(), Register(), "no address that a peer connects from"),
    "broadcast": ({"network": "255.255.255.255"}, bounds(), Register(), "no address that a peer connects from"),
    "the year 9999": ({"until": datetime(9999, 12, 31, tzinfo=UTC)}, bounds(), Register(), "the year 9999"),
    "a latest in the year 9999": ({"latest": datetime(9999, 12, 31, tzinfo=UTC)}, bounds(), Register(), "longest"),
    "a day more than the lifetime": ({"until": NOW + days(31)}, bounds(), Register(), "lifetime"),
    "a day more than longest": ({"latest": NOW + days(181)}, bounds(), Register(), "longest"),
    "what is over": ({"until": NOW}, bounds(), Register(), "over already"),
    "no cause": ({"cause": None}, bounds(), Register(), "needs the cause"),
    "a cause that the level does not help": ({"cause": Cause.NETWORK_CUT}, bounds(), Register(), "does not help"),
    "a cause that is only advised": ({"cause": Cause.NOT_TLS}, bounds(), Register(), '"advise"'),
    "the 21st of the day": ({}, bounds(), full(Register(), 20), "limits.per_day"),
    "the 21st of the day, after withdrawing": ({}, bounds(), withdrawn_today(20), "limits.per_day"),
    "the 51st that stands": ({}, bounds(), full(Register(), 50, NOW - days(2)), "limits.waivers"),
    "what a person revoked": ({}, bounds(), revoked("192.0.2.7"), "a person ended"),
    "an address in a revoked network": ({}, bounds(), revoked("192.0.2.0/28"), "a person ended"),
    "what is waived already": ({}, bounds(), replayed([event(1, Step.GRANTED, persons())]), "waived already"),
    "an address in a waived network": (
        {}, bounds(), replayed([event(1, Step.GRANTED, persons("192.0.2.0/28"))]), "waived already",
    ),
    "what the file waives": ({}, bounds(), replayed([event(1, Step.GRANTED, listed())]), "known-legacy.toml"),
    "anything while the policy cannot be read": ({}, bounds(policy=None), Register(), "policy cannot be read"),
    "cleartext where TLS is demanded": ({}, bounds(encrypt=True), Register(), "encrypt"),
    "an entry that does not exist": ({"authority": "nobody.example"}, bounds(known=NAMED), Register(), "no entry"),
    "an entry that is over": ({"authority": "gone.example.net"}, bounds(known=NAMED), Register(), "no entry"),
    "more than the entry reaches": (
        {"authority": ".plant.example.net"}, bounds(known=NAMED), Register(), "reaches cleartext",
    ),
    "longer than the entry stands": (
        {"authority": "old.example.net", "until": NOW + days(5)}, bounds(known=NAMED), Register(), "ends 2026-12-02",
    ),
    "an entry for a revoked peer": (
        {"authority": "old.example.net", "until": NOW + days(5), "latest": NOW + days(5)},
        bounds(known=NAMED), revoked("192.0.2.7"), "a person ended",
    ),
    "an entry for a never network": (
        {"authority": "old.example.net", "network": "10.1.2.3"}, bounds(known=NAMED), Register(), "never.networks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WANTED_TOO_MUCH)
def test_a_daemon_that_was_taken_over_does_not_get(what: str) -> None:
    changes, within, register, words = WANTED_TOO_MUCH[what]
    assert words in sentence_of(granted(DAEMON, asked(**changes), within, register))


def test_the_20th_of_the_day_and_the_50th_that_stands_are_given() -> None:
    assert isinstance(granted(DAEMON, asked(), register=full(Register(), 19)), LiveWaiver)
    assert isinstance(granted(DAEMON, asked(), register=full(Register(), 49, NOW - days(2))), LiveWaiver)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ('automatic = ["legacy"]', "limits.automatic"),
        ("automatic = []", "limits.automatic"),
    ],
)
def test_cleartext_is_automatic_only_where_the_policy_says_so(policy: str, words: str) -> None:
    text = f"""
    [causes.peer_too_old]
    action = "{"waive" if "legacy" in policy else "propose"}"
    level_floor = "cleartext"
    after = {{ sessions = 3, within = "24h" }}
    [limits]
    {policy}
    """
    answer = granted(DAEMON, asked(), bounds(policy=parse_policy(text, "policy.toml")))
    assert words in sentence_of(answer) or '"propose"' in sentence_of(answer)


def test_a_level_below_the_floor_is_not_given() -> None:
    text = """
    [causes.peer_too_old]
    action = "waive"
    level_floor = "legacy"
    after = { sessions = 3, within = "24h" }
    [limits]
    automatic = ["legacy", "cleartext"]
    """
    assert "level_floor" in sentence_of(granted(DAEMON, asked(), bounds(policy=parse_policy(text, "policy.toml"))))


def test_an_entry_with_a_name_authorises_what_no_policy_gives() -> None:
    ask = asked(level=Level.SSLV3, authority=".plant.example.net", until=NOW + days(20), latest=NOW + days(40))
    made = granted(DAEMON, ask, bounds(known=NAMED, served=EVERY_LEVEL))
    assert isinstance(made, LiveWaiver)
    assert (made.owner, made.origin, made.authority) == ("plant-it", Origin.KNOWN_LEGACY, ".plant.example.net")
    assert is_automatic(made), "it counts in the quota"


def test_what_the_daemon_says_of_itself_does_not_count() -> None:
    made = granted(DAEMON, asked(owner="root", reason="a\x1b[2Jb"))
    assert isinstance(made, LiveWaiver)
    assert (made.owner, made.origin, made.granted, made.reason) == ("policy", Origin.POLICY, NOW, "a?[2Jb")


# --- persons -----------------------------------------------------------------------------------------------------

PERSONS_TOO: dict[str, tuple[dict[str, Any], Bounds, Register, str]] = {
    "everybody": ({"network": "0.0.0.0/0"}, bounds(), Register(), "every address"),
    "more than the widest network": ({"network": "192.0.0.0/23"}, bounds(), Register(), "limits.widest.ipv4"),
    "more than the widest network, IPv6": ({"network": "2001:db8::/47"}, bounds(), Register(), "limits.widest.ipv6"),
    "host bits": ({"network": "192.0.2.7/24"}, bounds(), Register(), 'write "192.0.2.0/24"'),
    "legacy, whose door does not exist yet": ({"level": Level.LEGACY}, bounds(), Register(), "not served"),
    "sslv3, whose door does not exist yet": ({"level": Level.SSLV3}, bounds(), Register(), "not served"),
    "cleartext where TLS is demanded": ({}, bounds(encrypt=True), Register(), "smtpd_tls_security_level"),
    "more than ten years": ({"until": NOW + LONGEST + days(1)}, bounds(), Register(), "ten years"),
    "the year 9999": ({"until": datetime(9999, 12, 31, tzinfo=UTC)}, bounds(), Register(), "ten years"),
    "what is over": ({"until": NOW - days(1)}, bounds(), Register(), "over already"),
    "a network beside a table that cannot be listed": (
        {"network": "192.0.2.0/28"}, bounds(opaque="pcre:/etc/postfix/x"), Register(), "pcre:/etc/postfix/x",
    ),
    "what the file waives": ({}, bounds(), replayed([event(1, Step.GRANTED, listed())]), "known-legacy.toml"),
}  # fmt: skip


@pytest.mark.parametrize("what", PERSONS_TOO)
def test_not_even_a_person_gets(what: str) -> None:
    changes, within, register, words = PERSONS_TOO[what]
    assert words in sentence_of(granted(ALICE, asked(**changes), within, register))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "10.1.2.3"},
        {"network": "127.0.0.1"},
        {"network": "192.0.2.0/24"},
        {"cause": None},
        {"cause": Cause.NETWORK_CUT},
        {"until": NOW + days(3650)},
    ],
)
def test_a_person_gets_what_the_daemon_does_not(changes: dict[str, Any]) -> None:
    assert isinstance(granted(ALICE, asked(**changes), bounds(), full(revoked("192.0.2.7"), 60)), LiveWaiver)


def test_a_persons_end_is_final_and_the_owner_is_the_login_unless_another_is_named() -> None:
    made = granted(ALICE, asked(until=NOW + days(7), latest=NOW + days(99), owner=None))
    assert isinstance(made, LiveWaiver)
    assert (made.latest, made.owner, made.origin) == (NOW + days(7), "alice", Origin.PERSON)
    other = granted(ROOT, asked(owner=" bob\n"))
    assert isinstance(other, LiveWaiver)
    assert other.owner == "bob?"


def test_a_host_beside_a_table_that_cannot_be_listed_is_fine() -> None:
    assert isinstance(granted(ALICE, asked(), bounds(opaque="pcre:/etc/postfix/x")), LiveWaiver)


def test_persons_are_served_while_the_policy_cannot_be_read() -> None:
    assert isinstance(granted(ALICE, asked(), bounds(policy=None)), LiveWaiver)
    assert "widest" in sentence_of(granted(ALICE, asked(network="192.0.0.0/16"), bounds(policy=None)))


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7/32 ", "192.0.2.7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_addresses_are_spelled_as_smtpd_prints_them(text: str, spelled: str) -> None:
    assert canonical_network(text) == spelled


@given(st.text(max_size=30))
def test_any_text_for_an_address_is_a_network_or_a_printable_sentence(text: str) -> None:
    answer = canonical_network(text)
    assert is_safe(answer.sentence) if isinstance(answer, Refusal) else answer


# --- asked a second time -----------------------------------------------------------------------------------------


def test_a_grant_that_is_asked_again_is_answered_as_the_first_time() -> None:
    standing = replayed([event(1, Step.GRANTED, waiver())])
    assert mandate.repeated(asked(), standing) == waiver()
    assert mandate.repeated(asked("192.0.2.8"), standing) is None


def test_an_id_is_not_taken_twice_and_not_raised_from_the_dead() -> None:
    register = replayed([event(1, Step.GRANTED, waiver()), event(2, Step.WITHDRAWN, waiver())])
    assert "has ended since" in sentence_of(mandate.repeated(asked(), register))
    other = asked("192.0.2.8", id=waiver().id)
    assert "taken" in sentence_of(mandate.repeated(other, register))


# --- renewals ----------------------------------------------------------------------------------------------------

LATER = NOW + days(20)


def renewed(
    until: datetime,
    of: LiveWaiver | None = None,
    requester: Requester = DAEMON,
    within: Bounds | None = None,
    generation: int = 1,
    at: datetime = LATER,
) -> LiveWaiver | Refusal:
    one = of or waiver()
    ask = Renew(id=one.id, generation=generation, until=until)
    return mandate.renew(requester, ask, within or bounds(), replayed([event(1, Step.GRANTED, one)]), at)


def test_a_used_waiver_is_renewed_by_its_lifetime() -> None:
    made = renewed(LATER + days(30))
    assert isinstance(made, LiveWaiver)
    assert (made.until, made.generation, made.latest) == (LATER + days(30), 2, NOW + days(180))


def test_the_last_days_up_to_latest_are_given_however_few() -> None:
    one = waiver(until=NOW + days(179))
    assert isinstance(renewed(NOW + days(180), of=one, at=NOW + days(178)), LiveWaiver)
    assert isinstance(renewed(NOW + days(180), of=waiver(until=NOW + days(180)), at=NOW + days(178)), Refusal)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (renewed(LATER + days(31)), "lifetime"),
        (renewed(datetime(9999, 1, 1, tzinfo=UTC)), "at most"),
        (renewed(NOW + days(181), of=waiver(until=NOW + days(170)), at=NOW + days(160)), "at most"),
        (renewed(NOW + days(31)), "less than a tenth"),
        (renewed(NOW + days(10)), "less than a tenth"),
        (renewed(LATER + days(30), generation=2), "meanwhile"),
        (renewed(LATER + days(30), of=persons()), "for good"),
        (renewed(LATER + days(30), of=listed()), "for good"),
        (renewed(LATER + days(30), requester=ALICE), "by its use"),
        (renewed(LATER + days(30), within=bounds(policy=None)), "cannot be read"),
        (renewed(LATER + days(30), of=waiver(cause=Cause.NOT_TLS)), "any more"),
        (renewed(LATER + days(30), of=waiver(level=Level.SSLV3)), "any more"),
        (renewed(NOW + days(60), at=NOW + days(31)), "over is not renewed"),
        (
            mandate.renew(DAEMON, Renew(id="x", generation=1, until=LATER), bounds(), Register(), NOW),
            "nothing to renew",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_renewal_is_refused(answer: LiveWaiver | Refusal, words: str) -> None:
    assert words in sentence_of(answer)


def test_what_an_entry_authorised_is_renewed_while_the_entry_stands() -> None:
    one = waiver(authority="old.example.net", origin=Origin.KNOWN_LEGACY, cause=Cause.NOT_TLS, until=NOW + days(2))
    assert isinstance(renewed(NOW + days(9), of=one, within=bounds(known=NAMED), at=NOW), LiveWaiver)
    assert "at most" in sentence_of(renewed(NOW + days(15), of=one, within=bounds(known=NAMED), at=NOW))
    assert "any more" in sentence_of(renewed(NOW + days(9), of=one, at=NOW))


# --- withdrawals -------------------------------------------------------------------------------------------------


def withdrawn(requester: Requester, of: LiveWaiver, **by: Any) -> tuple[LiveWaiver, ...] | Refusal:
    return mandate.withdraw(requester, Withdraw(**(by or {"id": of.id})), replayed([event(1, Step.GRANTED, of)]))


def test_the_daemon_withdraws_what_is_automatic_and_nothing_else() -> None:
    assert withdrawn(DAEMON, waiver()) == (waiver(),)
    assert "only a person" in sentence_of(withdrawn(DAEMON, persons()))
    assert "remove the entry" in sentence_of(withdrawn(DAEMON, listed()))
    assert "by its id" in sentence_of(withdrawn(DAEMON, waiver(), network="192.0.2.7"))


def test_a_person_withdraws_everything_but_what_stands_in_the_file() -> None:
    for one in (waiver(), persons()):
        assert withdrawn(ALICE, one, network="192.0.2.7") == (one,)
        assert withdrawn(ALICE, one) == (one,)
    assert "remove the entry" in sentence_of(withdrawn(ALICE, listed(), network="192.0.2.7"))
    assert "no waiver stands" in sentence_of(withdrawn(ALICE, waiver(), network="192.0.2.8"))


def test_a_withdrawal_that_is_asked_again_finds_nothing_left_to_do() -> None:
    register = replayed([event(1, Step.GRANTED, waiver()), event(2, Step.WITHDRAWN, waiver())])
    assert mandate.withdraw(DAEMON, Withdraw(id=waiver().id), register) == ()
    assert "no waiver" in sentence_of(mandate.withdraw(DAEMON, Withdraw(id="other"), register))


# --- all of it ---------------------------------------------------------------------------------------------------

any_time = st.datetimes(datetime(1990, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))
any_grant = st.builds(
    Grant,
    id=st.just("x"),
    network=st.one_of(
        st.ip_addresses().map(str),
        st.ip_addresses(v=4).map(lambda ip: f"{ip}/24"),
        st.just("::/0"),
        st.text(max_size=20),
    ),
    level=st.sampled_from(Level),
    until=st.one_of(any_time, st.just(NOW + days(30))),
    latest=st.one_of(st.none(), any_time, st.just(NOW + days(180))),
    reason=st.text(max_size=20),
    owner=st.one_of(st.none(), st.text(max_size=20)),
    cause=st.one_of(st.none(), st.sampled_from(Cause)),
    authority=st.one_of(st.none(), st.sampled_from([".plant.example.net", "old.example.net", "x"])),
)


@given(any_grant, st.sampled_from([DAEMON, ALICE, ROOT]))
def test_whatever_is_asked_is_refused_in_a_sentence_or_within_all_bounds(ask: Grant, requester: Requester) -> None:
    answer = granted(requester, ask, bounds(known=NAMED, served=EVERY_LEVEL))
    if isinstance(answer, Refusal):
        assert is_safe(answer.sentence)
        assert len(answer.sentence) < 500
        return
    answer.waiver()  # a value of the core: owned, and ending
    assert NOW < answer.until <= answer.latest
    if requester is DAEMON:
        assert "/" not in answer.network
        assert POLICY.never.covers_address(answer.network) is None
        assert answer.until <= NOW + days(31)
        assert answer.level is not Level.SSLV3 or answer.authority == ".plant.example.net"


# --- what a waiver is good for ---------------------------------------------------------------------------------------

LIMITS = Limited(senders=(".plant.example.net",), size=4096)
LIMITED = known(
    """
    [[peer]]
    name = ".plant.example.net"
    level = "cleartext"
    reason = "Controllers of the plant"
    owner = "plant-it"
    until = 2099-12-31
    only_from = [".plant.example.net"]
    max_size = "4k"
    """
)


def test_a_person_says_what_a_waiver_is_good_for() -> None:
    given_ = granted(ALICE, asked(limits=LIMITS))
    assert isinstance(given_, LiveWaiver)
    assert given_.limits == LIMITS
    assert given_.waiver().limits == LIMITS.limits()


def test_mailtlsd_gets_the_limits_of_the_entry_that_it_cites_whatever_it_says() -> None:
    ask = asked(authority=".plant.example.net", limits=Limited(size=1 << 30))
    given_ = granted(DAEMON, ask, bounds(known=LIMITED))
    assert isinstance(given_, LiveWaiver)
    assert given_.limits == LIMITS


def test_limits_that_nobody_could_hold_are_refused() -> None:
    ask = asked(level=Level.CLEARTEXT, limits=Limited(recipients=("a@example.net",)))
    assert "at a door only" in sentence_of(granted(ALICE, ask))
