"""What the gateway lets single peers have by their waivers: the keeper writes it down, and the gateway reads it.

OpenSSL settles the version before it looks at suites. So whoever was waived because no cipher was shared speaks a
version that the strict door takes: the gateway holds it to that, and POODLE stays closed for it. Of anybody else the
waiver tells no version. What the operator says of a peer in [gateway] counts before.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailtls.core.cause import Cause
from mailtls.core.gatewayrule import VERSIONS, Lowest, PeerTerms
from mailtls.core.keeperprotocol import LiveWaiver
from mailtls.core.postfixview import Offering
from mailtls.core.rule import Table

FILE = "gateway.json"
"""Beside the keeper's socket."""


class WaivedTerms(Table):
    """The file."""

    peers: tuple[PeerTerms, ...] = ()


def lowest_of(cause: Cause | None, strict: Offering | None) -> Lowest:
    """Say which version a peer that was waived for this cause speaks at least; `strict` None: not known."""
    if cause is not Cause.NO_SHARED_CIPHER:
        return "SSLv3"
    taken = strict.versions if strict is not None else ()
    # What OpenSSL of today takes at the least; what is newer than the gateway itself is its newest.
    return next((version for version in VERSIONS if version in taken), "TLSv1.2" if taken else "TLSv1")


def waived_terms(waivers: Iterable[LiveWaiver], strict: Offering | None) -> WaivedTerms:
    """Give the terms that waivers of level sslv3 ask for; those that narrow nothing are left out."""
    lowest = ((waiver.network, lowest_of(waiver.cause, strict)) for waiver in waivers)
    peers = (PeerTerms(network=network, lowest=version) for network, version in lowest if version != "SSLv3")
    return WaivedTerms(peers=tuple(sorted(peers, key=lambda each: each.network)))
