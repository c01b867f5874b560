"""The list of known legacy peers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mailtls.core.knownlegacy import KnownPeers, parse_known_peers
from mailtls.core.level import Level
from mailtls.core.policy import Policy
from mailtls.core.rule import Limits, Never, Widest
from mailtls.core.waiver import Origin, WaiverLimits
from mailtls.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "policies" / "known-legacy.toml"
REST = 'level = "legacy"\nreason = "old"\nowner = "me"\nuntil = 2027-06-30\n'
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def known(*peers: str, policy: Policy | None = None, rest: str = REST) -> KnownPeers:
    text = "".join(f"[[peer]]\n{peer}\n{rest}" for peer in peers)
    return parse_known_peers(text, "k.toml", policy or Policy())


def test_the_shipped_list_is_empty_and_its_examples_are_right() -> None:
    text = SHIPPED.read_text("utf-8")
    assert parse_known_peers(text, "k.toml", Policy()).peer == ()
    first = text.index("# [[peer]]")
    uncommented = text[:first] + re.sub(r"(?m)^# ", "", text[first:])
    assert [peer.level for peer in parse_known_peers(uncommented, "k.toml", Policy()).peer] == [
        Level.LEGACY,
        Level.LEGACY_RSA,
        Level.SSLV3,
    ]


def test_an_entry_with_a_network_is_a_waiver_that_nothing_renews() -> None:
    (waiver,) = known('network = "192.0.2.7"').waivers()
    assert (waiver.network, waiver.level, waiver.owner, waiver.reason) == ("192.0.2.7", Level.LEGACY, "me", "old")
    assert waiver.origin is Origin.KNOWN_LEGACY
    assert waiver.until == datetime(2027, 7, 1, tzinfo=UTC), "the last day belongs to it"
    assert not waiver.renewable and not waiver.automatic


@pytest.mark.parametrize(
    ("until", "ends"),
    [
        ("2027-06-30", datetime(2027, 7, 1, tzinfo=UTC)),
        ("2027-06-30T12:00:00", datetime(2027, 6, 30, 12, tzinfo=UTC)),
        ("2027-06-30T12:00:00+02:00", datetime(2027, 6, 30, 12, tzinfo=timezone(timedelta(hours=2)))),
        ("9999-12-31", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_until_is_a_day_that_belongs_to_it_or_a_moment(until: str, ends: datetime) -> None:
    (entry,) = known('name = "mx.example.org"', rest=REST.replace("2027-06-30", until)).peer
    assert entry.ends == ends


def test_one_address_written_as_a_network_is_that_address() -> None:
    assert [waiver.network for waiver in known('network = "192.0.2.7/32"', 'network = "192.0.2.0/28"').waivers()] == [
        "192.0.2.7",
        "192.0.2.0/28",
    ]


def test_an_entry_with_a_name_is_no_waiver_but_authorises() -> None:
    peers = known('name = ".example.org"', 'name = "mx.example.org"')
    assert peers.waivers() == ()
    with pytest.raises(ValueError, match="no waiver by itself"):
        peers.peer[0].waiver()
    assert peers.by_name("mx.example.org", NOW) == peers.peer[1], "the longest name is the nearest"
    assert peers.by_name("mx2.example.org", NOW) == peers.peer[0]
    assert peers.by_name("unknown", NOW) is None
    assert peers.by_name(None, NOW) is None


def test_an_entry_does_not_stand_beyond_its_end_or_without_a_time() -> None:
    peers = known('name = "mx.example.org"')
    assert peers.by_name("mx.example.org", datetime(2027, 6, 30, 23, 59, tzinfo=UTC)) is not None
    assert peers.by_name("mx.example.org", datetime(2027, 7, 1, tzinfo=UTC)) is None
    assert peers.by_name("mx.example.org", None) is None


NEVER = Policy(never=Never(networks=("10.0.0.0/8", "2001:db8::/32"), names=(".google.com",)))
NARROW = Policy(limits=Limits(widest=Widest(ipv4=28, ipv6=64)))

REFUSALS = [
    ("", REST, Policy(), 1, ["neither network nor name", "write one of them"]),
    ('network = "192.0.2.7"\nname = "a.b"', REST, Policy(), 1, ["both network and name"]),
    ('network = "192.0.2.7/24"', REST, Policy(), 2, ["host bits set", '"192.0.2.0/24"', '"192.0.2.7"']),
    ('network = "mx.example.org"', REST, Policy(), 2, ["no address or network"]),
    ('name = "192.0.2.7"', REST, Policy(), 2, ["is an address", "network"]),
    ('name = "*.example.org"', REST, Policy(), 2, ["wildcard", '".example.org"']),
    ('name = "unknown"', REST, Policy(), 2, ["matches nobody"]),
    ('network = "0.0.0.0/0"', REST, Policy(), 2, ["wider than /24", "limits.widest.ipv4"]),
    ('network = "192.0.2.0/27"', REST, NARROW, 2, ["wider than /28"]),
    ('network = "2001:db8::/48"', REST, NARROW, 2, ["wider than /64", "limits.widest.ipv6"]),
    ('network = "10.1.2.0/24"', REST, NEVER, 2, ["overlaps 10.0.0.0/8 of the policy's never.networks", "remove one"]),
    ('network = "2001:db8:1::1"', REST, NEVER, 2, ["overlaps 2001:db8::/32"]),
    ('name = "mx.google.com"', REST, NEVER, 2, ["covered by .google.com of the policy's never.names"]),
    ('name = ".mx.google.com"', REST, NEVER, 2, ["covered by .google.com"]),
    ('name = "a.b"', REST.replace('"old"', '" "'), Policy(), 4, ["reason is empty"]),
    ('name = "a.b"', REST.replace('"me"', '""'), Policy(), 5, ["owner is empty"]),
    ('name = "a.b"', REST.replace("2027-06-30", '"soon"'), Policy(), 6, ['until: "soon" is no date', "2027-06-30"]),
    ('name = "a.b"', REST.replace("2027-06-30", "30"), Policy(), 6, ["until: 30 is no date"]),
    ('name = "a.b"', REST.replace("until = 2027-06-30\n", ""), Policy(), 1, ["[[peer]] number 1 has no until"]),
    ('name = "a.b"', REST.replace('owner = "me"\n', ""), Policy(), 1, ["has no owner"]),
    ('name = "a.b"', REST.replace('reason = "old"\n', ""), Policy(), 1, ["has no reason"]),
    ('name = "a.b"', REST.replace('level = "legacy"\n', ""), Policy(), 1, ["has no level"]),
    ('name = "a.b"', REST.replace('"legacy"', '"ssl3"'), Policy(), 3, ['level is "ssl3"', 'did you mean "sslv3"?']),
    ('name = "a.b"\nonly_from = ["192.0.2.1"]', REST, Policy(), 3, ["is an address"]),
    ('name = "a.b"\nonly_to = ["@x.example"]', REST, Policy(), 3, ['"@x.example" is no recipient']),
    ('name = "a.b"\nmax_size = "10T"', REST, Policy(), 3, ['max_size: "10T" is no size', '"10M"']),
    ('name = "a.b"\nmax_size = 0', REST, Policy(), 3, ["max_size: 0 is no size"]),
    (
        'name = "a.b"\nonly_to = ["a@x.example"]',
        REST.replace('"legacy"', '"cleartext"'),
        Policy(),
        3,
        ["limited at a door only"],
    ),
    ('nmae = "a.b"', REST, Policy(), 2, ['"nmae" is no key of [[peer]] number 1', 'did you mean "name"?']),
    ('name = "a.b"\n' + REST + '[[peer]]\nname = "A.B"', REST, Policy(), 8, ["stands in the list twice"]),
    (
        'network = "192.0.2.7"\n' + REST + '[[peer]]\nnetwork = "192.0.2.7/32"',
        REST,
        Policy(),
        8,
        ["192.0.2.7/32", "stands in the list twice"],
    ),
]


@pytest.mark.parametrize(("peer", "rest", "policy", "line", "words"), REFUSALS, ids=[row[4][0] for row in REFUSALS])
def test_a_wrong_entry_is_refused_with_one_sentence(
    peer: str, rest: str, policy: Policy, line: int, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as refusal:
        known(peer, policy=policy, rest=rest)
    said = str(refusal.value)
    assert said.startswith(f"k.toml, line {line}: "), said
    assert not [word for word in words if word not in said], said
    assert "\n" not in said


def test_what_a_waiver_is_good_for_goes_with_it() -> None:
    limited = 'network = "192.0.2.7"\nonly_from = [".a.example"]\nonly_to = ["b@c.example", "d.example"]\nmax_size = "2k"'
    (waiver,) = known(limited).waivers()
    assert waiver.limits == WaiverLimits((".a.example",), ("b@c.example", "d.example"), 2048)
    assert not known('network = "192.0.2.7"').waivers()[0].limits


def test_the_list_has_no_other_keys() -> None:
    with pytest.raises(ConfigError, match='line 1: "peers" is no key of the file; did you mean "peer"'):
        parse_known_peers("[[peers]]", "k.toml", Policy())
