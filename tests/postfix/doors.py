"""A mail server with doors, in a network of its own, and the clients that come to it from elsewhere.

Postfix listens on port 25 of all its addresses, its smtpd in the chroot as Debian has it. The strict door has an ECDSA
certificate and takes TLS 1.2 and later. What stands beside it is `mailtlsctl setup`'s work.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .clients import Act, Experience
from .configuration import Settings
from .conversation import Conversation, HandshakeFailed, Server
from .instance import ADDRESS, PrivatePostfix
from .netns import PEERS4, PEERS6, SERVER4, SERVER6, Namespace, Network

EVERYWHERE = {"inet_interfaces": "all", "inet_protocols": "all"}


class MailServer(PrivatePostfix):
    """A Postfix on port 25 of every address of its network namespace; `entry` is its line of master.cf."""

    def __init__(self, settings: Settings | None = None, entry: str = "smtp inet n - y - - smtpd") -> None:
        super().__init__(settings or Settings(extra=EVERYWHERE))
        self._entry = entry

    def _configure(self) -> None:
        super()._configure()
        master = self.configuration / "master.cf"
        text = master.read_text()
        old = f"{ADDRESS}:{self.ports['smtp']} inet n - n - - smtpd"
        assert old in text
        master.write_text(text.replace(old, self._entry))
        self.ports["smtp"] = 25


@dataclass(frozen=True, slots=True)
class Internet:
    """Who comes from where: the namespace of an address, and the server's address of the same family."""

    network: Network

    def home_of(self, address: str) -> Namespace:
        """Give the namespace in which this address lives."""
        peers = address.startswith((PEERS4, PEERS6))
        return self.network.peers if peers else self.network.strangers

    def meet(self, act: Act, address: str, host: str | None = None, port: int = 25) -> Experience:
        """Let a client act from this address."""
        with self.home_of(address):
            return act(address, Server(host or (SERVER6 if ":" in address else SERVER4), port))

    @contextmanager
    def conversation(self, address: str, host: str | None = None, port: int = 25) -> Iterator[Conversation]:
        """Connect from this address."""
        with self.home_of(address):
            conversation = Conversation(address, Server(host or (SERVER6 if ":" in address else SERVER4), port))
        with conversation:
            yield conversation

    def knock(self, address: str, port: int, host: str | None = None, patience_s: float = 5.0) -> None:
        """Connect from this address, and close. Raises OSError: how it was refused."""
        with self.home_of(address):
            target = (host or (SERVER6 if ":" in address else SERVER4), port)
            socket.create_connection(target, patience_s, (address, 0)).close()

    @contextmanager
    def conversation_on_the_server(self, host: str, port: int) -> Iterator[Conversation]:
        """Connect from the mail server to itself."""
        with self.network.server:
            conversation = Conversation(host, Server(host, port))
        with conversation:
            yield conversation

    def session_of(
        self, address: str, context: ssl.SSLContext, earlier: ssl.SSLSession | None = None
    ) -> tuple[ssl.SSLSession | None, bool]:
        """Shake hands, with an earlier session if there is one; give this one, and whether it was resumed."""
        with self.conversation(address) as conversation:
            conversation.approach()
            with context.wrap_socket(conversation.wire, session=earlier) as wire:
                wire.sendall(b"NOOP\r\n")
                wire.recv(100)
                return wire.session, bool(wire.session_reused)


# --- the full matrix of versions and suites ----------------------------------------------------------------------

VERSIONS = {"TLSv1": "-tls1", "TLSv1_1": "-tls1_1", "TLSv1_2": "-tls1_2"}
"""By their names in Python's `ssl.TLSVersion`, the options of openssl-ciphers(1)."""


def suites() -> dict[str, list[str]]:
    """Name every suite that this OpenSSL can still offer, by version."""
    found = {}
    for version, option in VERSIONS.items():
        command = ["openssl", "ciphers", "-s", option, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        found[version] = listed.stdout.strip().split(":")
    return found


def matrix(internet: Internet, address: str) -> Mapping[str, str]:
    """Try every version with every suite from this address, and say what came of each."""
    seen = {"TLSv1_3": negotiated(internet, address, "TLSv1_3", "")}
    for version, names in suites().items():
        for name in ("ALL", *names):
            seen[f"{version} {name}"] = negotiated(internet, address, version, name)
    return seen


def negotiated(internet: Internet, address: str, version: str, suite: str) -> str:
    """Shake hands with one version and one suite; give version, suite and certificate, or OpenSSL's reason."""
    context = context_of(version, suite or "ALL")
    with internet.conversation(address) as conversation:
        try:
            conversation.approach()
            with context.wrap_socket(conversation.wire) as wire:
                chosen = wire.cipher()
                shown = hashlib.sha256(wire.getpeercert(binary_form=True) or b"").hexdigest()[:16]
                return f"{wire.version()} {chosen[0] if chosen else ''} {shown}"
        except (ssl.SSLError, HandshakeFailed) as error:
            return getattr(error, "reason", None) or str(error)


def context_of(version: str, suites: str = "ALL") -> ssl.SSLContext:
    """Make a client's context with one version (a name of `ssl.TLSVersion`) and these suites; it believes anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    context.set_ciphers(f"{suites}:@SECLEVEL=0")
    return context
