"""What a waiver says of the versions that the gateway gives its peer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailtls.core.cause import Cause
from mailtls.core.gatewayrule import GatewaySettings
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.level import Level
from mailtls.core.postfixview import Offering
from mailtls.core.waivedterms import WaivedTerms, lowest_of, waived_terms
from mailtls.core.waiver import Origin

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HARD = Offering(versions=("TLSv1.2", "TLSv1.3"))


def waiver(network: str, cause: Cause | None) -> LiveWaiver:
    return LiveWaiver(
        id="one", network=network, level=Level.SSLV3, owner="kim", reason="old", granted=NOW,
        until=NOW + timedelta(days=1), latest=NOW + timedelta(days=1), origin=Origin.PERSON, cause=cause,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "strict", "lowest"),
    [
        (Cause.NO_SHARED_CIPHER, HARD, "TLSv1.2"),
        (Cause.NO_SHARED_CIPHER, Offering(versions=("TLSv1", "TLSv1.1", "TLSv1.2")), "TLSv1"),
        (Cause.NO_SHARED_CIPHER, Offering(versions=("TLSv1.3",)), "TLSv1.2"),
        (Cause.NO_SHARED_CIPHER, Offering(), "TLSv1"),
        (Cause.NO_SHARED_CIPHER, None, "TLSv1"),
        (Cause.PEER_TOO_OLD, HARD, "SSLv3"),
        (None, HARD, "SSLv3"),
    ],
)
def test_who_fails_over_the_cipher_speaks_what_the_strict_door_takes(
    cause: Cause | None, strict: Offering | None, lowest: str
) -> None:
    assert lowest_of(cause, strict) == lowest


def test_only_what_narrows_is_written_down_and_read_again() -> None:
    waivers = [waiver("192.0.2.7", Cause.NO_SHARED_CIPHER), waiver("192.0.2.8", None), waiver("2001:db8::/48", Cause.NO_SHARED_CIPHER)]
    terms = waived_terms(waivers, HARD)
    assert [(each.network, each.lowest) for each in terms.peers] == [("192.0.2.7/32", "TLSv1.2"), ("2001:db8::/48", "TLSv1.2")]
    assert WaivedTerms.model_validate_json(terms.model_dump_json()) == terms


def test_the_operator_s_word_of_a_peer_counts_before_and_his_general_one_is_never_widened() -> None:
    waived = waived_terms([waiver("192.0.2.0/24", Cause.NO_SHARED_CIPHER)], Offering(versions=("TLSv1.1",))).peers
    settings = GatewaySettings.model_validate({"peers": [{"network": "192.0.2.7", "lowest": "SSLv3"}]})
    lowest = [settings.terms_of(ip, "", waived).lowest for ip in ("192.0.2.7", "192.0.2.8", "198.51.100.1")]
    assert lowest == ["SSLv3", "TLSv1.1", "SSLv3"]
    narrow = GatewaySettings.model_validate({"terms": {"lowest": "TLSv1.2", "ciphers": ["RC4-SHA"]}})
    terms = narrow.terms_of("192.0.2.8", "", waived)
    assert (terms.lowest, terms.ciphers) == ("TLSv1.2", ("RC4-SHA",))
