"""What the policy file says of messages, as values of the verdict."""

from __future__ import annotations

from datetime import date

from mailtls.core.peermap import PeerMap
from mailtls.core.policy import parse_policy
from mailtls.core.tlsversion import SSLV3, TLS12, TLS13
from mailtls.core.verdict import Answer, Guard, Phase, Requirement

FILE = """
[require]
text = "Encrypted, please"
domains = { "bank.example" = {}, ".clinic.example" = { floor = "any", text = "Privacy" } }
peers = { "192.0.2.0/24" = { floor = "TLSv1.3", url = "https://x.example/" } }
[downgrade]
action = "defer"
sessions = 3
[[phase_out]]
below = "TLSv1.2"
stages = [{ on = 2027-03-01, percent = 5 }, { on = 2027-04-01, percent = 25 }]
refuse = 2027-07-01
cleartext = true
text = "Update"
"""


def test_requirements_have_the_common_text_where_they_have_none() -> None:
    require = parse_policy(FILE, "p.toml").require
    assert require.of_domains() == {
        "bank.example": Requirement(TLS12, "Encrypted, please"),
        ".clinic.example": Requirement(SSLV3, "Privacy"),
    }
    assert require.of_peers() == {"192.0.2.0/24": Requirement(TLS13, "Encrypted, please", "https://x.example/")}
    assert PeerMap(require.of_domains()).by_name("a.clinic.example") == Requirement(SSLV3, "Privacy")


def test_a_downgrade_is_noted_unless_the_file_says_more() -> None:
    assert parse_policy("", "p.toml").downgrade.guard() == Guard(Answer.NOTE, 20)
    assert parse_policy(FILE, "p.toml").downgrade.guard() == Guard(Answer.DEFER, 3)


def test_what_is_phased_out_has_one_stage_on_each_day() -> None:
    (rule,) = parse_policy(FILE, "p.toml").phase_out
    first = Phase(TLS12, 5, Answer.DEFER, "2027-07-01", True, False, "Update")
    assert rule.of_day(date(2027, 2, 28)) is None
    assert rule.of_day(date(2027, 3, 1)) == first
    assert rule.of_day(date(2027, 3, 31)) == first
    assert rule.of_day(date(2027, 4, 1)) == Phase(TLS12, 25, Answer.DEFER, "2027-07-01", True, False, "Update")
    assert rule.of_day(date(2027, 7, 1)) == Phase(TLS12, 100, Answer.REJECT, None, True, False, "Update")


def test_without_an_end_the_last_stage_goes_on() -> None:
    text = '[[phase_out]]\nbelow = "TLSv1.1"\nstages = [{ on = 2027-03-01, percent = 5 }]'
    (rule,) = parse_policy(text, "p.toml").phase_out
    stage = rule.of_day(date(2099, 1, 1))
    assert stage is not None
    assert (stage.percent, stage.answer, stage.refused_on) == (5, Answer.DEFER, None)
