"""What a service does by itself is read from its values, and written as mailtls.toml would have it."""

from __future__ import annotations

import pytest

from mailtls.core.level import Level
from mailtls.core.operatorfile import parse_operator_file
from mailtls.core.postfixview import Doorway, Offering, PostfixSettings
from mailtls.core.serviceconduct import (
    KEYWORDS,
    LEVEL,
    MAPS,
    ServiceConduct,
    Surroundings,
    conduct_of,
    conduct_text,
    view_text,
)
from mailtls.core.suite import KeyType

LEVELS = [
    ({}, "none"),
    ({LEVEL: "may"}, "may"),
    ({LEVEL: "none"}, "none"),
    ({LEVEL: "encrypt"}, "encrypt"),
    ({LEVEL: "Encrypt"}, "encrypt"),
    ({"smtpd_use_tls": "yes"}, "may"),
    ({"smtpd_use_tls": "yes", "smtpd_enforce_tls": "yes"}, "encrypt"),
    ({LEVEL: "none", "smtpd_enforce_tls": "yes"}, "none"),
]


@pytest.mark.parametrize(("values", "level"), LEVELS)
def test_the_level_is_what_smtpd_makes_of_new_and_old_parameters(values: dict[str, str], level: str) -> None:
    assert conduct_of(values).security_level == level


def test_keywords_and_tables_are_lists_and_ours_are_left_out() -> None:
    values = {KEYWORDS: "chunking, silent-discard", MAPS: "lmdb:/ours, cidr:/own\tinline:{a = b, c = d}"}
    conduct = conduct_of(values, ("lmdb:/ours",))
    assert conduct.discard_keywords == ("chunking", "silent-discard")
    assert conduct.discard_maps == ("cidr:/own", "inline:{a = b, c = d}")


def test_what_is_written_is_read_as_the_section_of_the_configuration() -> None:
    conduct = ServiceConduct(("chunking",), ('inline:{"a" = é}', "cidr:\\x"), "may")
    settings = parse_operator_file(PostfixSettings, conduct_text(conduct, "/etc/postfix", "hash"), "postfix.toml")
    assert (settings.discard_keywords, settings.discard_maps) == (conduct.discard_keywords, conduct.discard_maps)
    assert (settings.config_directory, settings.table_type, settings.security_level) == ("/etc/postfix", "hash", "may")


def test_the_file_with_strict_and_doors_is_read_as_it_was_meant_and_written_again_the_same() -> None:
    ciphers = tuple(f"ECDHE-RSA-CIPHER-NUMBER-{number}" for number in range(30))
    offers = Offering(versions=("TLSv1", "TLSv1.2"), certificates=(KeyType.RSA, KeyType.ECDSA), ciphers=ciphers)
    doors = (
        Doorway(level=Level.LEGACY_RSA, port=10125, entry="10125/inet", trusted=True, offers=offers),
        Doorway(level=Level.LEGACY, port=10225, addresses=("192.0.2.1", "2001:db8::1"), entry="10225/inet"),
    )
    around = Surroundings(offers, ("127.0.0.0/8", "2001:db8::/32"), doors)
    text = conduct_text(ServiceConduct((), ("inline:{a = b}",), "may"), "/etc/postfix", "lmdb", around)
    view = parse_operator_file(PostfixSettings, text, "postfix.toml")
    assert (view.strict, view.own_networks, view.doors) == (offers, around.own_networks, doors)
    assert view_text(view) == text
    assert max(len(line) for line in text.splitlines()) <= 120
