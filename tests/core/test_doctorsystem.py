"""fail2ban's jails and bans, limits of openssl.cnf, and the list that fail2ban reads."""

from __future__ import annotations

import pytest

from mailtls.core.doctorsystem import Ban, Jail, ban_findings, ignore_list, jail_findings, openssl_findings


@pytest.mark.parametrize(
    ("jail", "bans"),
    [
        (Jail("postfix", "", "more", "x"), False),
        (Jail("postfix", "", "aggressive", "x"), True),
        (Jail("postfix", "", "ddos", "x"), True),
        (Jail("postfix", "", "extra", "x"), False),
        (Jail("mine", "postfix[mode=aggressive]", "more", "x"), True),
        (Jail("postfix-sasl", "postfix[mode=auth]", "aggressive", "x"), False),
        (Jail("dovecot", "", "aggressive", "x"), False),
    ],
)
def test_only_jails_that_count_lost_connections_are_named(jail: Jail, *, bans: bool) -> None:
    assert [row.id for row in jail_findings((jail,))] == (["fail2ban_aggressive"] if bans else [])


def test_only_peers_that_fail_over_tls_are_wrongly_banned() -> None:
    bans = (Ban("192.0.2.7", "postfix", None), Ban("198.51.100.1", "postfix", None))
    (row,) = ban_findings(bans, {"192.0.2.7"})
    assert "192.0.2.7" in row.seen
    assert "198.51.100.1" not in row.seen
    assert row.command == "fail2ban-client set postfix unbanip 192.0.2.7"


def test_a_peer_that_several_jails_have_banned_is_taken_out_of_each() -> None:
    bans = (Ban("192.0.2.7", "postfix", None), Ban("192.0.2.7", "recidive", None), Ban("192.0.2.8", "recidive", None))
    (row,) = ban_findings(bans, {"192.0.2.7", "192.0.2.8"})
    assert row.command == (
        "fail2ban-client set postfix unbanip 192.0.2.7; fail2ban-client set recidive unbanip 192.0.2.7 192.0.2.8"
    )


def test_limits_bind_only_those_who_follow_them() -> None:
    text = "[system_default_sect]\nMinProtocol = TLSv1.2\n"
    assert not list(openssl_findings("openssl.cnf", text, followers=()))
    (row,) = openssl_findings("openssl.cnf", text, followers=("Dovecot",))
    assert row.evidence == ("openssl.cnf:2: MinProtocol = TLSv1.2",)


def test_what_holds_nobody_down_is_no_limit() -> None:
    text = "# MinProtocol = TLSv1.2\n[x]\nMinProtocol = TLSv1\nCipherString = DEFAULT@SECLEVEL=1\n"
    assert not list(openssl_findings("openssl.cnf", text, followers=("Dovecot",)))


def test_the_ignore_list_adds_to_what_is_ignored_already() -> None:
    assert ignore_list(("192.0.2.7", "2001:db8::/64"), ("mine",)) == (
        "[mine]\nignoreip = %(known/ignoreip)s 192.0.2.7 2001:db8::/64\n"
    )
    assert ignore_list((), ("mine",)) == ""
