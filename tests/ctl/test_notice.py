"""`mailtlsctl notice`: the draft of a mail to a peer's postmaster."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_string
from email.message import EmailMessage
from email.policy import default

import pytest

from ctl.parties import World, a_peer, a_waiver, a_world, explained
from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import DayCount
from mailtls.core.letter import WIDTH, domain_of_host, wanted

V6 = "2001:db8::7"
POLICY = """
[[phase_out]]
below = "TLSv1.2"
stages = [{ on = 2026-01-01, percent = 10 }, { on = 2099-03-01, percent = 50 }]
refuse = 2099-09-01
"""


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        world.places.policy.parent.mkdir(parents=True, exist_ok=True)
        world.places.policy.write_text(POLICY)
        yield world


def draft(text: str) -> EmailMessage:
    message = message_from_string(text, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_what_was_seen_what_to_change_and_by_when_is_a_mail_to_its_postmaster(world: World) -> None:
    world.daemon.explained = [explained(a_peer(name="mx01.bank.example", waiver=a_waiver(), state="waived"))]
    with world.running():
        seen = world.mailtlsctl("notice", "192.0.2.7", "--from", "postmaster@example.com")
    assert (seen.returncode, seen.stderr) == (0, "")
    mail = draft(seen.stdout)
    assert (mail["To"], mail["From"]) == ("postmaster@bank.example", "postmaster@example.com")
    body = mail.get_content()
    text = " ".join(body.split())
    for words in (
        "192.0.2.7 (mx01.bank.example)",
        "12 sessions, 4 messages; 3 sessions failed in the handshake (unsupported protocol).",
        "Please enable TLS 1.2",
        "by an exception that ends on",
        "SSL_accept error from mx.example.com[192.0.2.7]: -1",
        "from 2026-01-01 on, with less than TLSv1.2: 10 of 100 attempts are put off.",
        "from 2099-03-01 on, with less than TLSv1.2: 50 of 100 attempts are put off.",
        "from 2099-09-01 on, with less than TLSv1.2: it is refused.",
        "openssl s_client -starttls smtp",
    ):
        assert words in text
    assert all(len(line) <= WIDTH for line in body.splitlines() if not line.startswith("    "))


def test_nothing_to_write_about_is_exit_status_1(world: World) -> None:
    well = explained(a_peer(state="ok", failures=0, cause=None, tls_version="TLSv1.3"), evidence=(), days=())
    world.daemon.explained = [well]
    with world.running():
        seen = world.mailtlsctl("notice", "192.0.2.7")
        unknown = world.mailtlsctl("notice", "192.0.2.99")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert "192.0.2.7 is well" in seen.stderr
    assert unknown.returncode == 1
    assert "192.0.2.99 was never seen" in unknown.stderr


def test_a_peer_without_a_name_is_a_draft_without_an_address_and_says_how_to_find_it(world: World) -> None:
    world.daemon.explained = [explained(a_peer(V6, name="unknown"))]
    with world.running():
        seen = world.mailtlsctl("notice", V6)
    assert seen.returncode == 0
    assert draft(seen.stdout)["To"] is None
    assert f"whois {V6}" in seen.stderr


def test_text_of_strangers_reaches_neither_headers_nor_the_terminal_raw(world: World) -> None:
    evil = "x\r\nBcc: all@example.org\x1b[2J.example.com"
    world.daemon.explained = [explained(a_peer(name=evil, reason=evil), evidence=(evil,))]
    with world.running():
        seen = world.mailtlsctl("notice", "192.0.2.7", "--from", "postmaster@example.com")
        refused = world.mailtlsctl("notice", "192.0.2.7", "--from", "a@b\nBcc: c@d")
    mail = draft(seen.stdout)
    assert (mail["Bcc"], mail["To"]) == (None, None)
    assert "\x1b" not in seen.stdout
    assert refused.returncode == 2
    assert "is no mail address" in refused.stderr


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("mx01.bank.example", "bank.example"),
        ("bank.example", "bank.example"),
        ("MX.Bank.Example.", "bank.example"),
        ("localhost", None),
        ("unknown", None),
        (None, None),
        ("a b.example.com", None),
        ("x@y.example.com", None),
        ("example.co.uk", "example.co.uk"),
        ("mx.example.co.uk", "example.co.uk"),
        ("mx.co.example", "co.example"),
        ("mx..example", None),
        ("b\u00fccher.example.com", None),
    ],
)
def test_the_postmaster_is_that_of_the_confirmed_name(name: str | None, domain: str | None) -> None:
    assert domain_of_host(name) == domain


def test_nobody_is_told_of_a_phasing_out_that_does_not_meet_him(world: World) -> None:
    plain = DayCount(
        day="2026-11-21", service="smtpd", door="strict", outcome="no_starttls", cause="none", tls_version=None,
        cipher=None, sessions=2, mails=2,
    )  # fmt: skip
    ok = a_peer(name="mx.bank.example", state="ok", failures=0, cause=None, reason=None, tls_version=None)
    world.daemon.explained = [explained(ok, evidence=(), days=(plain,))]
    with world.running():
        kept = world.mailtlsctl("notice", "192.0.2.7")
        world.places.policy.write_text(POLICY.replace("refuse", "cleartext = true\nrefuse"))
        meant = world.mailtlsctl("notice", "192.0.2.7")
    assert "without any encryption" in " ".join(kept.stdout.split())
    assert "we stop accepting it" not in " ".join(kept.stdout.split())
    assert "we stop accepting it" in " ".join(meant.stdout.split())


@pytest.mark.parametrize("writer", ["a@", "@b", "a@b@c", "a,b@c", "Me <a@b>", '"@b', "a@b\nBcc: c@d"])
def test_what_is_no_mail_address_is_refused_in_a_sentence(world: World, writer: str) -> None:
    world.daemon.explained = [explained(a_peer(name="mx.bank.example"))]
    with world.running():
        seen = world.mailtlsctl("notice", "192.0.2.7", "--from", writer)
    assert (seen.returncode, "is no mail address" in seen.stderr) == (2, True), seen.stderr


def test_old_versions_and_none_at_all_are_worth_a_letter_too() -> None:
    day = DayCount(
        day="2026-11-21", service="smtpd", door="legacy", outcome="tls_ok", cause="none", tls_version="TLSv1",
        cipher="AES128-SHA", sessions=2, mails=2,
    )  # fmt: skip
    ok = a_peer(state="ok", failures=0, cause=None, reason=None)
    weak, strong, plain = (
        explained(ok, days=(day.model_copy(update=change),))
        for change in ({}, {"tls_version": "TLSv1.3"}, {"tls_version": None, "outcome": "no_starttls"})
    )
    assert "deprecated" in (wanted(weak) or "")
    assert wanted(strong) is None
    assert "without any encryption" in (wanted(plain) or "")
    rejected = explained(a_peer(cause=Cause.PEER_REJECTS_OUR_CERT))
    assert "refuses our certificate" in (wanted(rejected) or "")
