"""Handshakes as clients of different ages make them: OpenSSL for TLS 1.0 to 1.3, tlslite-ng for what OpenSSL lost.

Debian's OpenSSL 3 is built without SSLv3, RC4 and 3DES; tlslite-ng (pure Python) still speaks them.
"""

from __future__ import annotations

import socket
import ssl
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .conversation import Handshake, HandshakeFailed

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # tlslite-ng imports asyncore, which is not used here
    from tlslite.constants import AlertDescription, AlertLevel
    from tlslite.errors import TLSError
    from tlslite.handshakesettings import HandshakeSettings
    from tlslite.messages import Alert, ClientHello
    from tlslite.tlsconnection import TLSConnection

SSLV3 = (3, 0)
TLS12 = (3, 3)
TLS13 = (3, 4)


def openssl(
    version: ssl.TLSVersion,
    ciphers: str = "ALL",
    *,
    trusted: Path | None = None,
    expected_name: str | None = None,
) -> Handshake:
    """Offer exactly one version, and these ciphers (an OpenSSL cipher list).

    With `trusted` (a PEM file) or `expected_name` the certificate is verified, otherwise anything is believed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = expected_name is not None
    context.verify_mode = ssl.CERT_REQUIRED if trusted or expected_name else ssl.CERT_NONE
    if trusted is not None:
        context.load_verify_locations(trusted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 is what is wanted here
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")

    def shake(wire: socket.socket) -> ssl.SSLSocket:
        try:
            return context.wrap_socket(wire, server_hostname=expected_name)
        except ssl.SSLCertVerificationError as refusal:
            raise HandshakeFailed(f"did not accept the certificate: {refusal.verify_message}") from refusal
        except ssl.SSLError as error:
            raise HandshakeFailed((error.reason or str(error)).replace("_", " ").lower()) from error
        except OSError as error:
            raise HandshakeFailed(str(error)) from error

    return shake


class OfOldFormat(TLSConnection):  # type: ignore[misc]
    """A client that greets in the format of SSLv2 and goes on in a later version (RFC 6101 appendix E.1)."""

    def _sendMsg(self, msg: Any, *arguments: Any, **named: Any) -> Iterator[int]:  # noqa: N802 - tlslite-ng's name
        if not isinstance(msg, ClientHello):
            yield from super()._sendMsg(msg, *arguments, **named)
            return
        specs = b"".join(b"\0" + struct.pack(">H", suite) for suite in msg.cipher_suites)
        lengths = struct.pack(">HHH", len(specs), 0, len(msg.random))
        body = b"\1" + bytes(msg.client_version) + lengths + specs + bytes(msg.random)
        self._handshake_hash.update(bytearray(body))
        self.sock.send(struct.pack(">H", 0x8000 | len(body)) + body)
        self.sock.flush()


def tlslite(
    lowest: tuple[int, int], highest: tuple[int, int], ciphers: tuple[str, ...], kind: type = TLSConnection
) -> Handshake:
    """Offer a range of versions ((3, 0) is SSLv3) and ciphers by tlslite-ng's names (`rc4`, `3des`, `aes128`)."""
    settings = HandshakeSettings()
    settings.minVersion, settings.maxVersion = lowest, highest
    settings.cipherNames = list(ciphers)
    settings.macNames = ["sha", "md5", "aead"]

    def shake(wire: socket.socket) -> TLSConnection:
        connection = kind(wire)
        try:
            connection.handshakeClientCert(settings=settings)
        except (TLSError, OSError) as error:
            raise HandshakeFailed(str(error).replace("_", " ")) from error
        return connection

    return shake


def send_bad_certificate(connection: TLSConnection) -> None:
    """Send alert 42 (RFC 8446 section 6.2) over a connection of `tlslite`, whose handshake is complete."""
    for _ in connection._sendMsg(Alert().create(AlertDescription.bad_certificate, AlertLevel.fatal)):
        pass
