"""Never-lists and names."""

from __future__ import annotations

import pytest

from mailtls.core.rule import Never, name_is_under


@pytest.mark.parametrize(
    ("name", "suffix", "under"),
    [
        ("mail.google.com", ".google.com", True),
        ("a.b.google.com", ".google.com", True),
        ("google.com", ".google.com", True),
        ("MAIL.Google.Com", ".gooGLE.com", True),
        ("mail.google.com.", ".google.com", True),
        ("evilgoogle.com", ".google.com", False),
        ("google.com.evil.example", ".google.com", False),
        ("mail.google.com", "google.com", False),
        ("google.com", "google.com", True),
        ("unknown", ".unknown", False),
        ("unknown", "unknown", False),
        ("UNKNOWN", "unknown", False),
        ("", ".google.com", False),
        (None, ".google.com", False),
    ],
)
def test_a_suffix_covers_the_name_and_all_below_it_and_unknown_matches_nothing(
    name: str | None, suffix: str, under: bool
) -> None:
    assert name_is_under(name, suffix) is under


def test_the_never_list_says_what_covers_a_peer() -> None:
    never = Never(networks=("192.0.2.0/24", "2001:db8::/32"), names=(".example.com", ".example.org"))
    assert never.covers_address("192.0.2.9") == "192.0.2.0/24"
    assert never.covers_address("2001:db8::1") == "2001:db8::/32"
    assert never.covers_address("198.51.100.1") is None
    assert never.covers_address("unknown") is None
    assert never.covers_name("mx.example.org") == ".example.org"
    assert never.covers_name("mx.example.net") is None
