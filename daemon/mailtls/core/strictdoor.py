"""The strict door as the log and `setup` show it: which versions and suites it takes, and so whom it would take.

Without a ClientHello a waived peer has outgrown its door when it negotiates there what the strict door has taken
from anybody since the waiver was granted, or what it takes by what `setup` found. The suite of TLS 1.2 and earlier
names the certificate's type (`ECDHE-RSA-...`, `ECDHE-ECDSA-...`), so that an RSA-only peer is never found outgrown of
an ECDSA-only server; the suites of TLS 1.3 do not (RFC 8446 appendix B.4), and prove nothing for a peer that failed
over ciphers or signatures.

A door gives no session tickets and takes none, so that what is negotiated there is negotiated anew; a session that the
strict door resumes shows the suite of an earlier one, which it took then.

BUGS: where the operator has taken an RSA certificate away and `setup` has not looked since, a peer may be let in, be
found outgrown, and fail again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mailtls.core.cause import Cause
from mailtls.core.offer import would_be_taken
from mailtls.core.postfixview import Offering
from mailtls.core.session import Session
from mailtls.core.waiver import Waiver

SUITES = 256  # pairs of version and suite that are remembered

# As Postfix prints them (tls_misc.c, SSL_get_version): whoever stays at these may need a relaxed door one day.
_LOW = frozenset({"SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1"})


def is_low(version: str | None) -> bool:
    """Tell whether a negotiated version is known to be below TLS 1.2."""
    return version in _LOW


@dataclass(slots=True)
class StrictDoor:
    """What it took, with the time of the latest such handshake."""

    took_at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    offers: Offering | None = None
    """By what `setup` found; None: it has not looked."""

    def took(self, session: Session, at: datetime | None) -> None:
        """Note a completed handshake at the strict door."""
        if at is None or session.tls_version is None or session.cipher is None:
            return
        pair = (session.tls_version, session.cipher)
        if pair in self.took_at or len(self.took_at) < SUITES:
            self.took_at[pair] = at

    def outgrown_by(self, session: Session, waiver: Waiver, predicted: bool | None) -> str | None:
        """Say why this handshake at a relaxed door shows that the peer needs no door; None where it does not.

        `predicted`: what the strict door would answer to its hello, None where that is not known.
        """
        seen = f"At the {session.door} door it completed {session.tls_version} with {session.cipher}"
        if predicted is None:
            return f"{seen}, which the strict door takes as well." if self.would_take(session, waiver) else None
        return f"{seen}; by its ClientHello the strict door would take it, too." if predicted else None

    def would_take(self, session: Session, waiver: Waiver) -> bool:
        """Tell whether a handshake at a relaxed door proves that the strict one would do for this peer."""
        if session.tls_version is None or session.cipher is None:
            return False
        if session.tls_version == "TLSv1.3" and waiver.cause is not Cause.PEER_TOO_OLD:
            return False
        if self.offers is not None and would_be_taken(session.tls_version, session.cipher, self.offers):
            return True
        at = self.took_at.get((session.tls_version, session.cipher))
        return at is not None and (waiver.granted is None or at > waiver.granted)
