"""What becomes of a hello, rule by rule. tests/postfix/test_handshakes.py shows that a real Postfix agrees."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.ciphersuite import BY_NUMBER, named
from mailtls.core.clienthello import ClientHello, read_hello
from mailtls.core.handshake import REASONS, Negotiated, Refused, predict
from mailtls.core.serverprofile import GATEWAY, SECP384R1, ServerKey, ServerProfile, SigningKey

RSA, ECDSA = ServerKey(SigningKey.RSA), ServerKey(SigningKey.ECDSA)
LIST = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "AES128-SHA", "AECDH-AES128-SHA")  # fmt: skip
EVERY = frozenset({0x0301, 0x0302, 0x0303, 0x0304})
BOTH = ServerProfile(EVERY, named(LIST), (RSA, ECDSA))
ONLY_ECDSA = replace(BOTH, keys=(ECDSA,))
STRICT = replace(ONLY_ECDSA, versions=frozenset({0x0303, 0x0304}))

TLS12 = ClientHello(
    0x0303, (0xC02B, 0xC02F, 0x002F), groups=(0x1D, 0x17), signatures=(0x0403, 0x0401), extensions=(10, 13)
)
TLS13 = replace(TLS12, ciphers=(0x1301, *TLS12.ciphers), versions=(0x0304, 0x0303), key_shares=(0x1D,), extensions=(10, 13, 43, 51))  # fmt: skip
TLS10 = ClientHello(0x0301, (0x000A, 0x002F))


def outcome(hello: ClientHello, server: ServerProfile) -> str:
    return str(predict(hello, server))


def test_a_modern_client_gets_the_best_that_both_have() -> None:
    assert outcome(TLS13, BOTH) == "TLSv1.3 with TLS_AES_128_GCM_SHA256"
    assert outcome(TLS12, BOTH) == "TLSv1.2 with ECDHE-ECDSA-AES128-GCM-SHA256"
    assert outcome(TLS10, BOTH) == "TLSv1 with AES128-SHA"


def test_the_clients_order_counts_unless_the_server_preempts() -> None:
    turned = replace(TLS12, ciphers=TLS12.ciphers[::-1])
    assert outcome(turned, BOTH) == "TLSv1.2 with AES128-SHA"
    assert outcome(turned, replace(BOTH, preempt=True)) == "TLSv1.2 with ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize(
    ("hello", "server", "reason"),
    [
        (TLS10, STRICT, "unsupported protocol"),
        (replace(TLS10, version=0x0300), BOTH, "version too low"),
        (replace(TLS13, versions=(0x0301,)), STRICT, "unsupported protocol"),
        (replace(TLS13, version=0x0300), BOTH, "bad legacy version"),
        (ClientHello(0x0002, sslv2_format=True, sslv2_kinds=(0x0700C0,)), BOTH, "unknown protocol"),
        (TLS10, ONLY_ECDSA, "no shared cipher"),
        (replace(TLS10, ciphers=(0x000A, 0x0005)), BOTH, "no shared cipher"),
        (replace(TLS10, ciphers=()), BOTH, "no ciphers specified"),
        (replace(TLS10, uneven=True), BOTH, "error in received cipher list"),
        (replace(TLS10, compressions=(1,)), BOTH, "no compression specified"),
        (replace(TLS13, compressions=(1, 0)), BOTH, "invalid compression algorithm"),
        (replace(TLS10, ciphers=(0x002F, 0x5600)), BOTH, "inappropriate fallback"),
        (replace(TLS10, flaw=0x09F), BOTH, "length mismatch"),
        (replace(TLS12, broken=frozenset({10})), BOTH, "bad extension"),
        (replace(TLS12, signatures=(0xEDED,)), BOTH, "no shared signature algorithms"),
        (replace(TLS12, ciphers=(0xC02F,), signatures=(0x0403,)), BOTH, "no suitable signature algorithm"),
        (replace(TLS13, signatures=None), BOTH, "missing sigalgs extension"),
        (replace(TLS13, signatures=(0x0401,)), BOTH, "no suitable signature algorithm"),
        (replace(TLS13, groups=None), BOTH, "missing supported groups extension"),
        (replace(TLS13, key_shares=(0x18,)), BOTH, "bad key share"),
        (replace(TLS13, key_shares=None), BOTH, "no suitable key share"),
        (replace(TLS13, groups=(0x11EC,), key_shares=()), BOTH, "no suitable key share"),
        (replace(TLS12, groups=(0x18,), ciphers=(0xC02B,)), BOTH, "no shared cipher"),
    ],
)
def test_every_refusal_has_the_reason_that_postfix_logs(hello: ClientHello, server: ServerProfile, reason: str) -> None:
    assert outcome(hello, server) == reason


def test_newer_openssl_has_other_words_for_hellos_that_nobody_takes() -> None:
    newer = replace(BOTH, openssl=(3, 5))
    assert predict(replace(TLS10, compressions=(1,)), newer) == Refused(0x156, 47)
    assert predict(replace(TLS10, compressions=()), newer) == predict(replace(TLS10, compressions=()), BOTH)
    assert (predict(replace(TLS10, ciphers=()), BOTH), predict(replace(TLS10, ciphers=()), newer)) == (
        Refused(0x0B7, 47),
        Refused(0x0B7, 50),
    )


def test_newer_openssl_asks_whether_the_client_takes_points_as_they_are() -> None:
    compressed = replace(TLS12, point_formats=(1,))
    assert outcome(compressed, ONLY_ECDSA) == "TLSv1.2 with ECDHE-ECDSA-AES128-GCM-SHA256"
    assert outcome(compressed, replace(ONLY_ECDSA, openssl=(3, 5))) == "no shared cipher"


def test_without_supported_groups_there_is_no_ecdhe_at_all() -> None:
    assert outcome(replace(TLS12, groups=None), BOTH) == "TLSv1.2 with AES128-SHA"


def test_a_suite_is_chosen_before_the_signature_and_there_is_no_way_back() -> None:
    only_ecdsa_signs = replace(TLS12, ciphers=(0x002F, 0xC02B), signatures=(0x0403,))
    assert outcome(only_ecdsa_signs, BOTH) == "no suitable signature algorithm"


def test_up_to_tls_11_signature_algorithms_do_not_matter() -> None:
    assert outcome(replace(TLS10, signatures=(0xEDED,)), BOTH) == "TLSv1 with AES128-SHA"


def test_a_client_that_knows_another_curve_than_the_certificates_cannot_use_it() -> None:
    p384 = replace(ONLY_ECDSA, keys=(ServerKey(SigningKey.ECDSA, group=SECP384R1),))
    assert outcome(TLS12, p384) == "no shared cipher"
    assert outcome(TLS13, p384) == "no suitable signature algorithm"
    assert outcome(replace(TLS13, signatures=(0x0503,)), p384).startswith("TLSv1.3")


def test_a_key_for_a_group_that_the_server_lacks_is_asked_for_again() -> None:
    assert predict(replace(TLS13, groups=(0x11EC, 0x17), key_shares=(0x11EC,)), BOTH) == Negotiated(
        0x0304, BY_NUMBER[0x1301], retry=True
    )


def test_an_rsa_key_of_1024_bits_is_too_short_for_the_longest_signature() -> None:
    short = replace(BOTH, keys=(ServerKey(SigningKey.RSA, bits=1024),))
    assert outcome(replace(TLS13, signatures=(0x0806,)), short) == "no suitable signature algorithm"
    assert outcome(replace(TLS13, signatures=(0x0806, 0x0804)), short).startswith("TLSv1.3")


def test_postfix_takes_a_peer_without_any_certificate_where_its_list_does() -> None:
    assert outcome(ClientHello(0x0303, (0xC018,), groups=(0x17,)), ONLY_ECDSA) == "TLSv1.2 with AECDH-AES128-SHA"


def test_a_client_may_say_which_certificates_it_takes() -> None:
    picky = replace(TLS13, certificate_signatures=(0x0503,))
    server = replace(ONLY_ECDSA, keys=(replace(ECDSA, signed_with=0x0403),))
    assert outcome(picky, server) == "no suitable signature algorithm"
    assert outcome(picky, ONLY_ECDSA).startswith("TLSv1.3"), "what is not known is not held against anybody"


def test_an_ed25519_key_serves_tls_12_to_those_who_name_it() -> None:
    ed25519 = replace(BOTH, keys=(ServerKey(SigningKey.ED25519),))
    assert outcome(replace(TLS12, signatures=(0x0807,)), ed25519) == "TLSv1.2 with ECDHE-ECDSA-AES128-GCM-SHA256"
    assert outcome(TLS12, ed25519) == "no shared cipher"
    assert outcome(replace(TLS13, signatures=(0x0807,)), ed25519).startswith("TLSv1.3")


def test_without_signature_algorithms_sha1_is_meant_and_only_two_kinds_of_keys_have_that() -> None:
    silent = replace(TLS12, signatures=None)
    assert outcome(silent, BOTH) == "TLSv1.2 with ECDHE-ECDSA-AES128-GCM-SHA256"
    picky = replace(silent, certificate_signatures=(0x0401,))
    assert outcome(picky, BOTH) == "no shared signature algorithms"


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (replace(TLS13, versions=None), "length mismatch"),
        (replace(TLS13, broken=frozenset({43})), "length mismatch"),
        (replace(TLS13, key_shares=(), broken=frozenset({51})), "length mismatch"),
        (replace(TLS13, broken=frozenset({11, 23})), "TLSv1.3 with TLS_AES_128_GCM_SHA256"),
        (replace(TLS10, signatures=(), broken=frozenset({13})), "TLSv1 with AES128-SHA"),
    ],
)
def test_what_is_malformed_matters_where_the_version_reads_it(hello: ClientHello, reason: str) -> None:
    assert outcome(hello, BOTH) == reason


def test_key_exchanges_that_no_postfix_has_are_never_chosen() -> None:
    everything = replace(BOTH, ciphers=tuple(BY_NUMBER.values()))
    strange = ClientHello(0x0303, (0x00AD, 0x0030, 0xC00E, 0xC021), groups=(0x17,), signatures=(0x0401,))
    assert outcome(strange, everything) == "no shared cipher"


def test_the_alert_to_an_sslv3_client_is_one_that_it_knows() -> None:
    assert predict(replace(TLS10, version=0x0300), BOTH) == Refused(0x18C, 40)
    assert predict(TLS10, STRICT) == Refused(0x102, 70)


def test_the_gateway_takes_sslv3_rc4_and_3des() -> None:
    assert outcome(ClientHello(0x0300, (0x0005,)), GATEWAY) == "SSLv3 with RC4-SHA"
    assert outcome(ClientHello(0x0301, (0x000A,), sslv2_format=True), GATEWAY) == "TLSv1 with DES-CBC3-SHA"
    assert outcome(ClientHello(0x0300, (0x0003, 0x0009)), GATEWAY) == "no shared cipher"


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_whatever_was_read_is_predicted(data: bytes, seed: int) -> None:
    """Every answer is one of the two, and every reason has a text."""
    chance = Random(seed)
    head = bytes.fromhex("16030100ff010000fb0303") + bytes(32) + b"\0"
    hello = read_hello(head + data)
    assert hello is not None
    answer = predict(replace(hello, flaw=None), chance.choice([BOTH, STRICT, GATEWAY]))
    assert isinstance(answer, Negotiated) or answer.reason in REASONS
