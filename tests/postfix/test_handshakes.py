"""What `core.handshake` predicts is what a real Postfix does: every hello, every profile, the reason it logs included."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections import Counter
from random import Random

from mailtls.core.ciphersuite import BY_NUMBER
from mailtls.core.clienthello import read_hello
from mailtls.core.handshake import Negotiated, predict
from mailtls.edge.randomhello import random_hello

from .comparing import compare, make_keys
from .conversation import Conversation, Handshake, HandshakeFailed, Server
from .firstflights import first_flight
from .handshakes import tlslite
from .instance import PrivatePostfix
from .profiles import PROFILES, cipher_list, settings_for

HELLOS = 150


def test_random_hellos_get_the_answer_and_the_reason_that_were_predicted() -> None:
    """RSA, ECDSA, both, and a hardened ECDSA service; a hundred and fifty hellos to each."""
    chance = Random("the test's own hellos")
    settings, chosen = settings_for(PROFILES[:4])
    with PrivatePostfix(settings) as postfix:
        make_keys(postfix.directory)
        compared = compare(postfix, chosen, [random_hello(chance) for _ in range(HELLOS)])
    wrong = [str(one) for one in compared if not one.agrees]
    assert len(compared) == HELLOS * len(chosen)
    assert not wrong, f"{len(wrong)} of {len(compared)}:\n" + "\n".join(wrong[:5])
    accepted = sum(one.answer.cipher is not None for one in compared)
    assert HELLOS < accepted < len(compared) - HELLOS, "both answers must be well represented, or nothing is shown"


def openssl_client(version: ssl.TLSVersion, ciphers: str, curve: str | None) -> Handshake:
    """Make a handshake of OpenSSL with one curve only, or with all that it has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    if curve is not None:
        context.set_ecdh_curve(curve)

    def shake(wire: socket.socket) -> ssl.SSLSocket:
        try:
            return context.wrap_socket(wire)
        except (ssl.SSLError, OSError) as error:
            raise HandshakeFailed(str(error)) from error

    return shake


VERSIONS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
CLIENTS: dict[str, Handshake] = {
    **{
        f"{version.name} {ciphers} {curve}": openssl_client(version, ciphers, curve)
        for version in VERSIONS
        for ciphers in ("ALL", "aRSA", "ECDHE+aECDSA", "kRSA", "kDHE")
        for curve in (None, "secp384r1")
    },
    **{
        f"tlslite {lowest} {highest} {ciphers}": tlslite(lowest, highest, ciphers)
        for lowest, highest in (((3, 0), (3, 0)), ((3, 0), (3, 1)), ((3, 0), (3, 3)), ((3, 3), (3, 4)))
        for ciphers in (("rc4", "3des"), ("aes128", "aes256"), ("aes128gcm", "chacha20-poly1305"))
    },
}


def completed(postfix: PrivatePostfix, way: str, shake: Handshake) -> bool:
    """Shake hands with this service; tell whether it came about."""
    server = Server(postfix.address, postfix.ports[way], tls_at_once=way == "smtps")
    try:
        with Conversation("127.6.0.1", server) as conversation:
            conversation.secure(shake)
            return True
    except (HandshakeFailed, OSError):
        return False


def test_real_clients_get_through_exactly_where_it_was_predicted() -> None:
    """OpenSSL from TLS 1.0 to 1.3 with all and with few suites and curves, and tlslite from SSLv3 on."""
    settings, chosen = settings_for(PROFILES[:4])
    flights = {name: read_hello(first_flight(shake)) for name, shake in CLIENTS.items()}
    wrong, outcomes = [], Counter[bool]()
    with PrivatePostfix(settings) as postfix:
        for name, shake in CLIENTS.items():
            hello = flights[name]
            assert hello is not None, name
            for way, profile in chosen.items():
                predicted = predict(hello, profile.server)
                through = completed(postfix, way, shake)
                outcomes[through] += 1
                if through != isinstance(predicted, Negotiated):
                    wrong.append(f"{name} at {profile.name}: predicted {predicted}, completed: {through}")
    assert not wrong, "\n".join(wrong)
    assert min(outcomes[True], outcomes[False]) > 50, outcomes


def test_suites_are_what_openssl_says_of_them() -> None:
    """Every suite that this machine's OpenSSL lists has the number and the properties that its name gave it here."""
    listed = cipher_list("ALL:COMPLEMENTOFALL")
    assert len(listed) > 50
    assert [suite for suite in listed if BY_NUMBER.get(suite.number) != suite] == []
