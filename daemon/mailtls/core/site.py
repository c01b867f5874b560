"""The site: what the successes of all peers prove about the server's own TLS settings at port 25.

A success is proof of what the server can do: a suite with RSA authentication, that it has an RSA certificate; TLS 1.0,
that its floor is no higher. What nobody was seen to use may still be there: then the answer is "not known".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mailtls.core.cause import Door, Outcome
from mailtls.core.history import History, Tally
from mailtls.core.suite import KeyType, key_type_of
from mailtls.core.trouble import PORT_25


@dataclass(frozen=True, slots=True)
class Site:
    """Complete handshakes at the strict door of port 25: by certificate type, with TLS 1.0, and in all."""

    rsa: Tally = field(default_factory=Tally)
    ecdsa: Tally = field(default_factory=Tally)
    tls10: Tally = field(default_factory=Tally)
    handshakes: Tally = field(default_factory=Tally)

    def certificate_at(self, failed: Tally) -> KeyType | None:
        """Say which one type of certificate was seen in use at all, up to these failures; RSA if both were.

        None: no suite that tells. An RSA certificate that appeared only after the last failure does not count.
        """
        if self.rsa.count and not _later(self.rsa, failed):
            return KeyType.RSA
        return KeyType.ECDSA if self.ecdsa.count else None

    def took_tls10_during(self, failed: Tally) -> bool:
        """Tell whether TLS 1.0 was accepted before and after the first of these failures: the floor is not above it."""
        tls10 = self.tls10
        if tls10.first is None or tls10.last is None or failed.first is None or failed.last is None:
            return False
        return tls10.first <= failed.last and tls10.last >= failed.first


def survey(history: History) -> Site:
    """Look at all complete handshakes of all peers."""
    site = Site()
    by_key = {KeyType.RSA: site.rsa, KeyType.ECDSA: site.ecdsa}
    for peer in history.peers.values():
        for verdict, tally in peer.verdicts.items():
            if verdict.outcome is not Outcome.TLS_OK or verdict.service not in PORT_25:
                continue
            if verdict.door is not Door.STRICT:
                continue
            site.handshakes.add(tally.count, tally.first, tally.last)
            key = key_type_of(verdict.cipher)
            if key is not None:
                by_key[key].add(tally.count, tally.first, tally.last)
            if verdict.tls_version == "TLSv1":
                site.tls10.add(tally.count, tally.first, tally.last)
    return site


def _later(good: Tally, failed: Tally) -> bool:
    """Tell whether the good began only after the last failure; without stamps, that is not known to be so."""
    return good.first is not None and failed.last is not None and good.first > failed.last
