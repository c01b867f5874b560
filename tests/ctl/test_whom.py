"""Whom an operator means by PEER."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.ctl.whom import read_whom
from mailtls.errors import ConfigError

MEANT = [
    ("192.0.2.7", "192.0.2.7", None, True),
    ("192.0.2.7", "192.0.2.70", None, False),
    ("2001:DB8:0::7", "2001:db8::7", None, True),
    ("::ffff:192.0.2.7", "192.0.2.7", None, True),
    ("mx.example.com[192.0.2.7]", "192.0.2.7", "other.example", True),
    ("[2001:db8::7]:52612", "2001:db8::7", None, True),
    ("192.0.2.0/24", "192.0.2.255", None, True),
    ("192.0.2.0/24", "192.0.3.0", None, False),
    ("192.0.2.0/24", "2001:db8::7", None, False),
    ("192.0.2.0/24", "x.x.x.x", None, False),
    ("2001:db8::/32", "2001:db8:1::7", None, True),
    ("mx.example.com", "192.0.2.7", "MX.Example.com", True),
    ("mx.example.com", "192.0.2.7", "amx.example.com", False),
    ("mx.example.com", "192.0.2.7", None, False),
    ("example.com", "192.0.2.7", "mx.example.com", False),
    (".example.com", "192.0.2.7", "mx.a.EXAMPLE.com", True),
    (".example.com", "192.0.2.7", "badexample.com", False),
    (".example.com", "192.0.2.7", "example.com", False),
]
REFUSED = [
    ("", "is no peer"),
    (".", "is no peer"),
    ("two words", "is no peer"),
    ("\x1b[2J", "is no peer"),
    ("unknown", "give the peer's address"),
    ("192.0.2.7/24", "write 192.0.2.0/24"),
    ("192.0.2.0/33", "is no network"),
    ("a/b", "is no network"),
]


@pytest.mark.parametrize(("given_text", "ip", "name", "meant"), MEANT)
def test_an_address_network_name_or_domain_covers_its_peers(
    given_text: str, ip: str, name: str | None, meant: bool
) -> None:
    assert read_whom(given_text).covers(ip, name) is meant


@pytest.mark.parametrize(("given_text", "words"), REFUSED)
def test_what_can_be_no_peer_is_refused_in_one_printable_sentence(given_text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_whom(given_text)
    assert words in str(refused.value)
    assert str(refused.value).isprintable()


@given(st.text(max_size=30), st.text(max_size=30), st.none() | st.text(max_size=30))
def test_no_text_is_more_than_refused(given_text: str, ip: str, name: str | None) -> None:
    try:
        whom = read_whom(given_text)
    except ConfigError:
        return
    assert whom.covers(ip, name) in (True, False)
