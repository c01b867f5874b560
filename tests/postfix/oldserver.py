"""A mail server of another age: SSL 3.0 and TLS 1.0, with the suites that nobody's OpenSSL has any more, by tlslite-ng."""

from __future__ import annotations

import socket
import threading
import warnings
from contextlib import suppress

from edge.mailservers import MailServer, dialogue

from .certificates import Certificate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # tlslite-ng imports asyncore, which is not used here
    from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
    from tlslite.errors import TLSError


def old_server(certificate: Certificate, ciphers: list[str]) -> MailServer:
    """A server of tlslite-ng that stopped at SSL 3.0 and TLS 1.0."""
    chain = X509CertChain()
    chain.parsePemList(certificate.certificate.read_text())
    key = parsePEMKey(certificate.key.read_text(), private=True)
    settings = HandshakeSettings()
    settings.minVersion, settings.maxVersion = (3, 0), (3, 1)
    settings.cipherNames, settings.macNames, settings.keyExchangeNames = ciphers, ["sha", "md5"], ["rsa"]

    def manner(client: socket.socket, over: threading.Event) -> None:
        dialogue(client)
        with suppress(TLSError, OSError, SyntaxError):
            TLSConnection(client).handshakeServer(certChain=chain, privateKey=key, settings=settings)

    return MailServer(manner)
