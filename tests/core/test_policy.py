"""The policy file: what is understood, and how each thing that cannot be meant is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.level import Level
from mailtls.core.messagerule import Downgrade, PhaseOut, Required
from mailtls.core.policy import Policy, parse_policy
from mailtls.core.rule import After, CauseRule, Limits, Never
from mailtls.errors import ConfigError

POLICIES = Path(__file__).parents[2] / "policies"
SHIPPED = ["default.toml", "strict.toml", "lenient.toml"]

DESIGN = """
[causes.peer_too_old]
action = "waive"            # ignore | advise | propose | waive
level_floor = "legacy"      # never further down than this
after = { sessions = 3, within = "24h", spread = "10m" }
lifetime = "30d"
longest = "180d"
[limits]
waivers = 200
per_day = 20
widest = { ipv4 = 24, ipv6 = 48 }
[never]
networks = ["10.0.0.0/8"]
names = [".google.com"]
"""


def shipped(name: str) -> Policy:
    return parse_policy((POLICIES / name).read_text("utf-8"), name)


def test_the_file_of_the_design_says_what_it_says() -> None:
    policy = parse_policy(DESIGN, "p.toml")
    after = After(sessions=3, within=timedelta(hours=24), spread=timedelta(minutes=10))
    assert policy.causes == {
        Cause.PEER_TOO_OLD: CauseRule(
            action=Action.WAIVE,
            level_floor=Level.LEGACY,
            after=after,
            lifetime=timedelta(days=30),
            longest=timedelta(days=180),
        )
    }
    assert (policy.limits.waivers, policy.limits.per_day) == (200, 20)
    assert policy.never == Never(networks=("10.0.0.0/8",), names=(".google.com",))


def test_an_empty_policy_advises_and_touches_nobody() -> None:
    policy = parse_policy("", "p.toml")
    assert {policy.rule(cause).action for cause in Cause} == {Action.ADVISE}
    assert policy.limits == Limits()
    assert policy.limits.automatic == (Level.LEGACY_RSA, Level.LEGACY)
    assert policy.known_legacy is None


def test_a_policy_does_not_change_after_reading() -> None:
    with pytest.raises(ValidationError):
        parse_policy("", "p.toml").limits.waivers = 1


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_policy_is_understood(name: str) -> None:
    assert shipped(name).causes


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_policy_ever_gives_sslv3_by_itself(name: str) -> None:
    assert Level.SSLV3 not in shipped(name).limits.automatic


def test_default_waives_peers_too_old_to_legacy_and_nothing_else() -> None:
    policy = shipped("default.toml")
    waived = {cause: rule.level_floor for cause, rule in policy.causes.items() if rule.action is Action.WAIVE}
    assert waived == {Cause.PEER_TOO_OLD: Level.LEGACY}
    assert not set(policy.limits.automatic) & {Level.SSLV3, Level.CLEARTEXT}


def test_strict_waives_nothing_by_itself() -> None:
    policy = shipped("strict.toml")
    assert policy.limits.automatic == ()
    assert Action.WAIVE not in {rule.action for rule in policy.causes.values()}


def test_lenient_puts_mail_first_and_hides_starttls_as_the_last_resort() -> None:
    policy = shipped("lenient.toml")
    assert Level.CLEARTEXT in policy.limits.automatic
    assert policy.rule(Cause.PEER_TOO_OLD).level_floor is Level.CLEARTEXT


def test_the_manual_explains_every_key_with_its_default() -> None:
    manual = (POLICIES.parent / "docs" / "policy.md").read_text("utf-8")
    keys = [*CauseRule.model_fields, *Limits.model_fields, *Never.model_fields, *Policy.model_fields]
    keys += [f"after.{key}" for key in After.model_fields]
    keys += [*Required.model_fields, *Downgrade.model_fields, *PhaseOut.model_fields, "require.domains"]
    assert [key for key in keys if key not in manual] == []
    assert [cause for cause in Cause if f"`{cause}`" not in manual and cause not in ("none", "dropped_after_tls")] == []
    assert CauseRule().model_dump(include={"lifetime", "longest"}) == {
        "lifetime": timedelta(days=30),
        "longest": timedelta(days=180),
    }


WAIVE = '[causes.peer_too_old]\naction = "waive"\nlevel_floor = "legacy"\nafter = { sessions = 3, within = "24h" }\n'

PHASE = '[[phase_out]]\nbelow = "TLSv1.2"\nstages = [{ on = 2027-03-01, percent = 5 }, '

# What stands in the file, the line that is named, and words of the sentence: what was seen, and what to write instead.
REFUSALS = [
    # TOML itself
    ("a = ", None, ["this is not TOML", "invalid value", "at the end of the file"]),
    ("a = !", 1, ["this is not TOML", "invalid value", "column 5"]),
    ("[limits]\nwaivers = 3\nwaivers = 4\n", 3, ["not TOML", "cannot overwrite a value"]),
    ("[limits\n", 1, ["not TOML", 'action = "advise"']),
    ('x = "open', None, ["not TOML"]),
    ("x = " + "[" * 5000, None, ["nested too deeply"]),
    # keys
    ("\n[limit]\nwaivers = 1", 2, ['"limit" is no key of the file', 'did you mean "limits"?']),
    (WAIVE + 'actoin = "waive"', 5, ['"actoin" is no key of [causes.peer_too_old]', 'did you mean "action"?']),
    (
        "[causes.peer_too_old]\nafter = { session = 3 }",
        2,
        ['"session" is no key of [causes.peer_too_old.after]', 'did you mean "sessions"?'],
    ),
    ("[limits]\nwidest = { ipv4 = 24, ip6 = 48 }", 2, ["[limits.widest]", 'did you mean "ipv6"?']),
    ("[never]\nzzz = []", 2, ["write one of networks, names"]),
    ('[causes.peer_to_old]\naction = "waive"', 1, ['"peer_to_old" is no cause', 'did you mean "peer_too_old"?']),
    ("[causes.x]", 1, ['"x" is no cause', "write one of none, dropped_after_tls, peer_too_old"]),
    # types
    ('[causes.timeout]\naction = "waiver"', 2, ['timeout.action is "waiver"', 'did you mean "waive"?']),
    ('[causes.timeout]\naction = "extend"', 2, ["write one of ignore, advise, propose, waive"]),
    ("[causes.timeout]\naction = 3", 2, ["timeout.action is 3", "write one of"]),
    ('[causes.timeout]\nlevel_floor = "none"', 2, ["write one of legacy-rsa, legacy, sslv3, cleartext"]),
    ('[limits]\nwaivers = "200"', 2, ['limits.waivers is "200"', "a whole number without quotes"]),
    ("[limits]\nwaivers = true", 2, ["limits.waivers is true", "a whole number"]),
    ("[limits]\nwaivers = 2.5", 2, ["limits.waivers is 2.5", "a whole number"]),
    ("[limits]\nwaivers = -1", 2, ["limits.waivers is -1", "less than the least", "write 0"]),
    ("[limits]\nwidest = { ipv4 = 33 }", 2, ["limits.widest.ipv4 is 33", "more than the most", "write 32"]),
    ("[limits]\nwidest = 24", 2, ["limits.widest is 24", "a table"]),
    ('[never]\nnetworks = "10.0.0.0/8"', 2, ['never.networks is "10.0.0.0/8"', "a list in brackets"]),
    ("[never]\nnetworks = [\n  10]", 3, ["never.networks is 10", "text in quotes"]),
    ("known_legacy = 1", 1, ["known_legacy is 1", "text in quotes"]),
    ("causes = 1", 1, ["causes is 1", "[causes.peer_too_old]"]),
    ("[causes]\npeer_too_old = 1", 2, ["peer_too_old is 1", "a table"]),
    (
        "[causes.peer_too_old]\nafter = { sessions = 0 }",
        2,
        ["peer_too_old.after.sessions is 0", "less than the least", "write 1"],
    ),
    ("[causes.peer_too_old]\nafter = { sessions = 21 }", 2, ["more than the most", "write 20"]),
    # durations
    ("[causes.peer_too_old]\nlifetime = 30", 2, ["peer_too_old.lifetime: 30 has no unit", '"30d"']),
    ('[causes.peer_too_old]\nlifetime = "a month"', 2, ["'a month' is no duration", '"24h"']),
    ('[causes.peer_too_old]\nafter = { within = "1h30m" }', 2, ["peer_too_old.after.within", "no duration"]),
    ('[causes.peer_too_old]\nlongest = "9999d"', 2, ["ten years", '"3660d"']),
    ('[causes.peer_too_old]\nlifetime = "0d"', 2, ["lifetime is no time at all", '"1h"']),
    ('[causes.peer_too_old]\nafter = { within = "0s" }', 2, ["within is no time at all", '"24h"']),
    # contradictions
    ("[causes.none]", 1, ["none means that the handshake was completed", "remove [causes.none]"]),
    ("[causes.dropped_after_tls]", 1, ["handshake was completed"]),
    (
        '[causes.network_cut]\naction = "waive"\nlevel_floor = "cleartext"\nafter = { sessions = 3 }',
        2,
        ["no door helps against network_cut", '"advise" or "ignore"'],
    ),
    ('[causes.timeout]\naction = "propose"', 2, ["no door helps against timeout"]),
    ('[causes.peer_rejects_our_cert]\naction = "waive"', 2, ["no door helps against peer_rejects_our_cert"]),
    (
        '[causes.peer_too_old]\naction = "propose"',
        2,
        ['action is "propose" without level_floor', 'level_floor = "legacy"'],
    ),
    (
        '[causes.peer_too_old]\naction = "waive"\nlevel_floor = "legacy"',
        2,
        ['"waive" without after', "one broken handshake would do", "sessions = 3"],
    ),
    (
        '[causes.peer_too_old]\nlevel_floor = "legacy-rsa"',
        2,
        ["does not help against peer_too_old", '"legacy", "sslv3" or "cleartext"'],
    ),
    ('[causes.not_tls]\nlevel_floor = "legacy"', 2, ['does not help against not_tls; write "cleartext"']),
    (
        '[causes.peer_too_old]\nafter = { sessions = 3, within = "5m", spread = "10m" }',
        2,
        ["spread is 10 minutes, more than within, 5 minutes", "never reached"],
    ),
    ('[causes.peer_too_old]\nafter = { sessions = 1, spread = "1s" }', 2, ["sessions is 1", "sessions = 2"]),
    (
        WAIVE + 'lifetime = "181d"',
        5,
        ["lifetime, 181 days, is longer than longest, 180 days", "a lifetime of at most longest"],
    ),
    (WAIVE + 'longest = "10d"', 5, ["lifetime, 30 days, is longer than longest, 10 days"]),
    (
        '[limits]\nautomatic = [\n  "legacy",\n  "sslv3",\n]',
        4,
        ["automatic lists sslv3", "known-legacy.toml", "remove it here"],
    ),
    ('[limits]\nautomatic = ["legcy"]', 2, ['limits.automatic is "legcy"', 'did you mean "legacy"?']),
    (
        '[causes.not_tls]\naction = "waive"\nlevel_floor = "cleartext"\nafter = { sessions = 3 }',
        2,
        ["limits.automatic has none of cleartext", '"propose"', 'add "cleartext"'],
    ),
    (
        '[causes.not_tls_or_too_old]\naction = "waive"\nlevel_floor = "sslv3"\nafter = { sessions = 3 }',
        2,
        ["sslv3 is never given automatically", '"propose"'],
    ),
    (WAIVE + "[limits]\nautomatic = []", 2, ["limits.automatic has none of legacy"]),
    ("[limits]\nwaivers = 5\nper_day = 6", 3, ["per_day is 6, more than waivers, 5", "per_day = 5"]),
    ("[limits]\nwaivers = 5", 2, ["per_day is 20, more than waivers, 5"]),
    (WAIVE + "[limits]\nper_day = 0", 2, ["limits.per_day is 0", '"propose"']),
    ('[never]\nnetworks = ["10.0.0.1/8"]', 2, ["has host bits set", '"10.0.0.0/8" for the network', '"10.0.0.1"']),
    (
        '[never]\nnetworks = [\n "192.0.2.0/24",\n "2001:db8::1/32"]',
        4,
        ["host bits", '"2001:db8::/32"', '"2001:db8::1"'],
    ),
    ('[never]\nnetworks = ["10.0.0.0/33"]', 2, ["is no address or network", '"192.0.2.7"']),
    ('[never]\nnetworks = ["example.org"]', 2, ["is no address or network"]),
    ('[never]\nnames = ["google.com"]', 2, ["has no dot in front", 'write ".google.com"']),
    ('[never]\nnames = ["*.google.com"]', 2, ["has a wildcard", 'write ".google.com"']),
    ('[never]\nnames = [".g*.com"]', 2, ["has a wildcard", 'write ".com"']),
    ('[never]\nnames = ["unknown"]', 2, ["matches nobody"]),
    ('[never]\nnames = ["192.0.2.7"]', 2, ["is an address", "networks"]),
    ('[never]\nnames = [".com"]', 2, ["top-level domain", '".example.com"']),
    ('[never]\nnames = ["a b"]', 2, ["is no host name"]),
    ('[never]\nnames = ["a@b.c"]', 2, ["is no host name"]),
    ('[never]\nnames = [".a..b"]', 2, ["is no host name"]),
    ('[never]\nnames = [""]', 2, ["is no host name"]),
    # messages
    ('[require.domains]\n"*.bank.example" = {}', 2, ["wildcard", '".bank.example"']),
    ('[require.domains]\n"192.0.2.1" = {}', 2, ["is an address"]),
    ('[require.peers]\n"192.0.2.1/24" = {}', 2, ["host bits set"]),
    ('[require.peers]\n"a b" = {}', 2, ["is no host name"]),
    ('[require.peers]\n"300.1.1.1" = {}', 2, ['"300.1.1.1" is neither an address nor a host name']),
    ('[require.peers]\n"192.0.2.256" = {}', 2, ["is neither an address nor a host name"]),
    ('[require.domains]\n".168.192" = {}', 2, ["is neither an address nor a host name"]),
    ('[never]\nnames = [".0.0.127"]', 2, ["is neither an address nor a host name"]),
    (
        '[require.domains]\n"x.example" = {}\n"X.Example" = { floor = "any" }', 3,
        ['"X.Example" is the same as "x.example"', "remove one of them"],
    ),
    ('[require.domains]\n".x.example" = {}\n".x.example." = {}', 3, ['is the same as ".x.example"']),
    ('[require.peers]\n"192.0.2.1" = {}\n"192.0.2.1/32" = {}', 3, ['is the same as "192.0.2.1"']),
    ('[require.peers]\n"2001:db8::" = {}\n"2001:DB8:0::0" = {}', 3, ['is the same as "2001:db8::"']),
    ('[require.peers]\n"192.0.2.1" = { floor = "TLS1.2" }', 2, ['floor is "TLS1.2"', "write one of any, TLSv1, TLSv1.1"]),
    ('[require]\ntext = "schön"', 2, ["does not fit into an SMTP reply"]),
    ('[require]\nurl = "a\\nb"', 2, ["does not fit into an SMTP reply"]),
    (
        f'[require]\ntext = "{"t" * 150}"\nurl = "{"u" * 150}"\n[require.domains]\n"a.example" = {{}}', 3,
        ["a reply of 301 signs together, and at most 300", "write 1 fewer"],
    ),
    (f'[require]\ntext = "{"t" * 200}"\n[require.peers]\n"a.example" = {{ url = "{"u" * 100}" }}', 4, ["301 signs"]),
    (f'[[phase_out]]\nbelow = "TLSv1.2"\nrefuse = 2027-07-01\ntext = "{"t" * 200}"\nurl = "{"u" * 100}"', 5, ["301 signs"]),
    (f'{PHASE}]\nrefuse = 2027-07-01\nurl = "{"u" * 200}"', 5, ["at most 300 fit"]),
    ("[downgrade]\nsessions = 0", 2, ["less than the least", "write 1"]),
    ('[downgrade]\naction = "quarantine"', 2, ['action is "quarantine"', "write one of note, stamp, defer, reject"]),
    ('[[phase_out]]\nbelow = "TLSv1.2"', 1, ["neither stages nor refuse"]),
    ('[[phase_out]]\nbelow = "TLSv1.2"\nrefuse = "soon"', 3, ['refuse: "soon" is no date']),
    (PHASE + "{ on = 2027-02-01, percent = 9 }]", 3, ["stage of 2027-02-01 stands behind that of 2027-03-01"]),
    (PHASE + "{ on = 2027-04-01, percent = 5 }]", 3, ["percent is 5 after 5"]),
    (PHASE + "]\nrefuse = 2027-03-01", 4, ["refuse is 2027-03-01", "write a later day"]),
]


@pytest.mark.parametrize(
    ("text", "line", "words"), REFUSALS, ids=[" ".join(text.split())[:60] for text, _, _ in REFUSALS]
)
def test_what_cannot_be_meant_is_refused_with_one_sentence(text: str, line: int | None, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_policy(text, "/etc/p.toml")
    said = str(refusal.value)
    place = re.match(r"/etc/p\.toml(?:, line (\d+))?: ", said)
    assert place is not None, said
    assert (int(place[1]) if place[1] else None) == line, said
    assert not [word for word in words if word not in said], said
    assert said[-1] in ".?" and "\n" not in said
    assert "pydantic" not in said and "Input should" not in said


def test_of_several_faults_the_first_in_the_file_is_told() -> None:
    with pytest.raises(ConfigError, match=r"line 2: .*waivers"):
        parse_policy('[limits]\nwaivers = "x"\nper_day = "y"\n[never]\nz = 1', "p.toml")
    with pytest.raises(ConfigError, match=r"line 2: .*host bits"):
        parse_policy('[never]\nnetworks = ["10.0.0.1/8"]\nnames = ["google.com"]', "p.toml")


def test_what_is_strange_in_a_value_does_not_reach_the_terminal() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_policy('[causes.timeout]\naction = "\\u001b[31m\\u202e' + "x" * 1000 + '"', "p.toml")
    assert "\x1b" not in str(refusal.value) and "\u202e" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_one_sentence(text: str) -> None:
    try:
        parse_policy(text, "p.toml")
    except ConfigError as error:
        assert "\n" not in str(error)


_KEYS = st.sampled_from(
    [
        "causes",
        "limits",
        "never",
        "known_legacy",
        "peer_too_old",
        "action",
        "after",
        "sessions",
        "within",
        "automatic",
        "names",
    ]
)
_VALUES = st.recursive(
    st.one_of(st.integers(-9, 99), st.booleans(), st.sampled_from(["waive", "legacy", "1h", "x", ".a.b"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_values_under_known_keys_are_a_policy_or_one_sentence(values: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in values.items())
    try:
        parse_policy(text, "p.toml")
    except ConfigError as error:
        assert "\n" not in str(error)
        assert "Input should" not in str(error), error
