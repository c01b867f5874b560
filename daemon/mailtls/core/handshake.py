"""What becomes of a hello at a service: version and cipher, or OpenSSL's reason for refusing it.

Written after OpenSSL 3.0, and compared with 3.5, in the order in which it goes: ssl/statem/statem_srvr.c
tls_early_post_process_client_hello and tls_post_process_client_hello, statem_lib.c ssl_choose_server_version,
extensions.c, t1_lib.c tls1_set_server_sigalgs and tls_choose_sigalg, s3_lib.c ssl3_choose_cipher, at security level 0.

Promises: the first answer of a server to the hello, with the reason that Postfix logs. What a client makes of that
answer (a certificate or a version that it dislikes) is not to be known from its hello.

BUGS: resumed sessions, and hellos with a pre-shared key, are taken as new ones. Reasons of extensions that do not
matter here (OCSP, SRP) are not predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailtls.core.ciphersuite import FALLBACK_SCSV, Authentication, CipherSuite, KeyExchange
from mailtls.core.clienthello import (
    BAD_EXTENSION,
    EXTENDED_MASTER_SECRET,
    KEY_SHARE,
    LENGTH_MISMATCH,
    POINT_FORMATS,
    SIGNATURES,
    SUPPORTED_VERSIONS,
    ClientHello,
)
from mailtls.core.level import NO_SHARED_CIPHER, UNKNOWN_PROTOCOL, UNSUPPORTED_PROTOCOL, VERSION_TOO_LOW
from mailtls.core.serverprofile import SECP256R1, SECP384R1, SECP521R1, ServerKey, ServerProfile, SigningKey
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS12, TLS13, name_of

# Alerts (RFC 8446 section 6.2).
HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, DECODE_ERROR = 40, 47, 50
PROTOCOL_VERSION, INAPPROPRIATE_FALLBACK, MISSING_EXTENSION = 70, 86, 109

REASONS = {
    0x065: "no suitable key share",
    0x06C: "bad key share",
    BAD_EXTENSION: "bad extension",
    0x070: "missing sigalgs extension",
    0x076: "no suitable signature algorithm",
    0x097: "error in received cipher list",
    LENGTH_MISMATCH: "length mismatch",
    0x0B7: "no ciphers specified",
    0x0BB: "no compression specified",
    NO_SHARED_CIPHER: "no shared cipher",
    0x0D1: "missing supported groups extension",
    0x0D5: "record length mismatch",
    UNKNOWN_PROTOCOL: "unknown protocol",
    UNSUPPORTED_PROTOCOL: "unsupported protocol",
    0x124: "bad legacy version",
    0x155: "invalid compression algorithm",
    0x156: "required compression algorithm missing",
    0x172: "wrong signature type",
    0x175: "inappropriate fallback",
    0x178: "no shared signature algorithms",
    VERSION_TOO_LOW: "version too low",
}
"""OpenSSL's reasons that a hello can lead to (include/openssl/sslerr.h), as Postfix logs them."""


_CHANGED = (3, 5)  # or earlier: of the versions between 3.0 and this none was looked at


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The server takes the hello. `retry`: after asking for another key (HelloRetryRequest)."""

    version: int
    cipher: CipherSuite
    retry: bool = False

    def __str__(self) -> str:
        """Say it as Postfix does."""
        return f"{name_of(self.version)} with {self.cipher.name}"


@dataclass(frozen=True, slots=True)
class Refused:
    """The server refuses the hello: OpenSSL's reason number, and the alert that the client gets."""

    reason: int
    alert: int

    def __str__(self) -> str:
        """Say it as Postfix does."""
        return REASONS.get(self.reason, f"reason 0x{self.reason:03X}")


Prediction = Negotiated | Refused


class _Refusal(Exception):  # noqa: N818  it never leaves this file
    def __init__(self, reason: int, alert: int) -> None:
        self.refused = Refused(reason, alert)


def predict(hello: ClientHello, server: ServerProfile) -> Prediction:
    """Say what this server answers to this hello."""
    try:
        return _negotiate(hello, server)
    except _Refusal as refusal:
        return refusal.refused


def _negotiate(hello: ClientHello, server: ServerProfile) -> Negotiated:
    if hello.flaw is not None:
        raise _Refusal(hello.flaw, ILLEGAL_PARAMETER if hello.flaw == BAD_EXTENSION else DECODE_ERROR)
    version = _version(hello, server)
    _check_ciphers(hello, server, version)
    newest = version == TLS13
    cipher = _suite(hello, server, version, frozenset()) if newest else None
    if 0 not in hello.compressions:
        raise _without_compression(hello, server)
    retry = _check_extensions(hello, server, version)
    if newest and len(hello.compressions) != 1:
        raise _Refusal(0x155, ILLEGAL_PARAMETER)
    shared = _shared_schemes(hello, newest) if version >= TLS12 else None
    if cipher is None:
        cipher = _suite(hello, server, version, _authentications(hello, server, version, shared))
    _check_signature(hello, server, version, cipher, shared)
    return Negotiated(version, cipher, retry)


# --- version -------------------------------------------------------------------------------------------------------


def _version(hello: ClientHello, server: ServerProfile) -> int:
    """Choose as ssl_choose_server_version does."""
    if hello.sslv2_format and (hello.version == SSLV2 or hello.version >> 8 != 3):
        raise _Refusal(UNKNOWN_PROTOCOL, PROTOCOL_VERSION)
    # To a client of SSLv3 the alert is one that it knows (ssl3_send_alert).
    alert = HANDSHAKE_FAILURE if hello.version == SSLV3 else PROTOCOL_VERSION
    if SUPPORTED_VERSIONS in hello.extensions:
        if hello.versions is None:
            raise _Refusal(LENGTH_MISMATCH, alert)
        if hello.version <= SSLV3:
            raise _Refusal(0x124, alert)
        if SUPPORTED_VERSIONS in hello.broken:
            raise _Refusal(LENGTH_MISMATCH, alert)
        offered = set(hello.versions) & server.versions
        if not offered:
            raise _Refusal(UNSUPPORTED_PROTOCOL, alert)
        return max(offered)
    highest = min(hello.version, TLS12)
    below = [version for version in server.built_with if version <= highest]
    enabled = [version for version in below if version in server.versions]
    if not enabled:
        raise _Refusal(UNSUPPORTED_PROTOCOL if below else VERSION_TOO_LOW, alert)
    return max(enabled)


def _check_ciphers(hello: ClientHello, server: ServerProfile, version: int) -> None:
    if hello.uneven:
        raise _Refusal(0x097, DECODE_ERROR)
    if not hello.ciphers and not hello.sslv2_kinds:
        raise _Refusal(0x0B7, DECODE_ERROR if server.openssl >= _CHANGED else ILLEGAL_PARAMETER)
    if FALLBACK_SCSV in hello.ciphers and version != server.highest:
        raise _Refusal(0x175, INAPPROPRIATE_FALLBACK)


def _without_compression(hello: ClientHello, server: ServerProfile) -> _Refusal:
    if hello.compressions and server.openssl >= _CHANGED:
        return _Refusal(0x156, ILLEGAL_PARAMETER)
    return _Refusal(0x0BB, DECODE_ERROR)


# --- extensions ----------------------------------------------------------------------------------------------------

_NOT_IN_TLS13 = frozenset({POINT_FORMATS, EXTENDED_MASTER_SECRET})
_NEW_GROUPS = frozenset({SECP256R1, SECP384R1, SECP521R1, 0x001D, 0x001E, *range(0x100, 0x105), 0x11EB, 0x11EC, 0x11ED})
_TLS13_ONLY_GROUPS = frozenset({*range(0x100, 0x105), 0x11EB, 0x11EC, 0x11ED, 0x0200, 0x0201, 0x0202, 31, 32, 33})


def _check_extensions(hello: ClientHello, server: ServerProfile, version: int) -> bool:
    """Go through the extensions as tls_parse_all_extensions does; tell whether another key must be asked for."""
    broken = hello.broken - (_NOT_IN_TLS13 if version == TLS13 else {KEY_SHARE})
    if version < TLS12 and hello.signatures is not None:
        broken -= {SIGNATURES}
    if broken - {KEY_SHARE}:
        raise _Refusal(BAD_EXTENSION, DECODE_ERROR)
    if version < TLS13:
        return False
    usable = _check_key_shares(hello, server)
    if hello.signatures is None:
        raise _Refusal(0x070, MISSING_EXTENSION)
    if usable:
        return False
    if hello.key_shares is None:
        raise _Refusal(0x065, MISSING_EXTENSION)
    if not _shared_groups(hello, server) & _NEW_GROUPS:
        raise _Refusal(0x065, HANDSHAKE_FAILURE)
    return True


def _check_key_shares(hello: ClientHello, server: ServerProfile) -> bool:
    """Tell whether one of the keys that came along will do (tls_parse_ctos_key_share)."""
    if hello.key_shares is None and KEY_SHARE not in hello.broken:
        return False
    if hello.groups is None:
        raise _Refusal(0x0D1, MISSING_EXTENSION)
    for group in hello.key_shares or ():
        if group not in hello.groups:
            raise _Refusal(0x06C, ILLEGAL_PARAMETER)
        if group in server.groups and group in _NEW_GROUPS:
            return True
    if KEY_SHARE in hello.broken:
        raise _Refusal(LENGTH_MISMATCH, DECODE_ERROR)
    return False


def _shared_groups(hello: ClientHello, server: ServerProfile) -> frozenset[int]:
    return frozenset(hello.groups or ()) & frozenset(server.groups)


# --- signatures ----------------------------------------------------------------------------------------------------

_SCHEMES: dict[int, tuple[SigningKey | None, int, bool]] = {
    0x0403: (SigningKey.ECDSA, SECP256R1, True),
    0x0503: (SigningKey.ECDSA, SECP384R1, True),
    0x0603: (SigningKey.ECDSA, SECP521R1, True),
    0x0807: (SigningKey.ED25519, 0, True),
    0x0808: (SigningKey.ED448, 0, True),
    0x0809: (None, 0, True),  # RSA-PSS keys, which Postfix's files can hold, but nobody has
    0x080A: (None, 0, True),
    0x080B: (None, 0, True),
    0x0804: (SigningKey.RSA, 66 * 8, True),
    0x0805: (SigningKey.RSA, 98 * 8, True),
    0x0806: (SigningKey.RSA, 130 * 8, True),
    0x0401: (SigningKey.RSA, 0, False),
    0x0501: (SigningKey.RSA, 0, False),
    0x0601: (SigningKey.RSA, 0, False),
    0x0303: (SigningKey.ECDSA, 0, False),
    0x0203: (SigningKey.ECDSA, 0, False),
    0x0301: (SigningKey.RSA, 0, False),
    0x0201: (SigningKey.RSA, 0, False),
}
"""OpenSSL's schemes (t1_lib.c tls12_sigalgs): key, its curve in TLS 1.3 or least size of RSA-PSS, good for TLS 1.3."""

_DSA = frozenset({0x0302, 0x0202, 0x0402, 0x0502, 0x0602})  # shared up to TLS 1.2, although nobody has such a key
_PSS = frozenset({0x0804, 0x0805, 0x0806})


def _shared_schemes(hello: ClientHello, newest: bool) -> tuple[int, ...] | None:
    """List the schemes that both know (tls1_set_server_sigalgs); None where the client names none."""
    if hello.signatures is None and hello.certificate_signatures is None:
        return None
    known = _SCHEMES.keys() if newest else _SCHEMES.keys() | _DSA
    shared = tuple(scheme for scheme in hello.signatures or () if scheme in known)
    if not shared:
        raise _Refusal(0x178, HANDSHAKE_FAILURE)
    return shared


def _authentications(
    hello: ClientHello, server: ServerProfile, version: int, shared: tuple[int, ...] | None
) -> frozenset[Authentication]:
    """List the ways in which the server can prove who it is (ssl_set_masks); suites without a certificate always do."""
    ways = {Authentication.NONE}
    named = {_SCHEMES[scheme][0] for scheme in shared or () if scheme in _SCHEMES}
    for key in server.keys:
        if key.kind is SigningKey.RSA:
            ways.add(Authentication.RSA)
        elif key.kind is SigningKey.ECDSA:
            signs = version < TLS12 or shared is None or key.kind in named
            if signs and _curve_is_known(hello, server, key):
                ways.add(Authentication.ECDSA)
        elif version == TLS12 and key.kind in named:
            ways.add(Authentication.ECDSA)
    return frozenset(ways)


def _curve_is_known(hello: ClientHello, server: ServerProfile, key: ServerKey) -> bool:
    """Tell whether the client knows the curve of the certificate, uncompressed (tls1_check_cert_param).

    OpenSSL 3.0 has the same lines about the format, and yet takes the certificate.
    """
    if server.openssl >= _CHANGED and hello.point_formats is not None and 0 not in hello.point_formats:
        return False
    return hello.groups is None or key.group in hello.groups


def _check_signature(
    hello: ClientHello, server: ServerProfile, version: int, cipher: CipherSuite, shared: tuple[int, ...] | None
) -> None:
    """Refuse where no key can sign as the client wants it (tls_choose_sigalg): the suite is chosen by then."""
    if version < TLS12 or cipher.authentication is Authentication.NONE:
        return
    if version == TLS12 and hello.signatures is None:
        # SHA-1 is what RFC 5246 section 7.4.1.4.1 says then. A key of another kind cannot.
        kind = SigningKey.ECDSA if cipher.authentication is Authentication.ECDSA else SigningKey.RSA
        if not any(key.kind is kind and _certificate_will_do(hello, key) for key in server.keys):
            raise _Refusal(0x172, HANDSHAKE_FAILURE)
        return
    if not any(_signs(hello, server, key, scheme, version, cipher) for scheme in shared or () for key in server.keys):
        raise _Refusal(0x076, HANDSHAKE_FAILURE)


def _signs(
    hello: ClientHello, server: ServerProfile, key: ServerKey, scheme: int, version: int, cipher: CipherSuite
) -> bool:
    kind, detail, new = _SCHEMES.get(scheme, (None, 0, False))
    if kind is not key.kind or not _certificate_will_do(hello, key):
        return False
    if version == TLS13:
        if not new or (kind is SigningKey.ECDSA and detail != key.group):
            return False
    elif (cipher.authentication is Authentication.RSA) != (kind is SigningKey.RSA):
        return False
    if version == TLS12 and kind is SigningKey.ECDSA and not _curve_is_known(hello, server, key):
        return False
    return scheme not in _PSS or key.bits >= detail


def _certificate_will_do(hello: ClientHello, key: ServerKey) -> bool:
    """Tell whether the signature on the certificate is one of those that the client takes, if it says."""
    wanted = hello.certificate_signatures
    return wanted is None or key.signed_with is None or key.signed_with in wanted


# --- cipher --------------------------------------------------------------------------------------------------------


def _suite(
    hello: ClientHello, server: ServerProfile, version: int, ways: frozenset[Authentication]
) -> CipherSuite:
    """Choose the suite: the client's order counts, the server's with tls_preempt_cipherlist (ssl3_choose_cipher)."""
    for suite in _in_order(hello, server):
        if suite.serves(version) and (version == TLS13 or _can_serve(suite, hello, server, ways)):
            return suite
    raise _Refusal(NO_SHARED_CIPHER, HANDSHAKE_FAILURE)


def _in_order(hello: ClientHello, server: ServerProfile) -> Iterator[CipherSuite]:
    if server.preempt:
        offered = frozenset(hello.ciphers)
        return (suite for suite in server.ciphers if suite.number in offered)
    taken = {suite.number: suite for suite in server.ciphers}
    return (taken[number] for number in hello.ciphers if number in taken)


def _can_serve(
    suite: CipherSuite, hello: ClientHello, server: ServerProfile, ways: Iterable[Authentication]
) -> bool:
    if suite.authentication not in ways:
        return False
    match suite.key_exchange:
        case KeyExchange.RSA:
            return Authentication.RSA in ways
        case KeyExchange.DHE:
            return True
        case KeyExchange.ECDHE:
            return bool(_shared_groups(hello, server) - _TLS13_ONLY_GROUPS)
        case _:
            return False
