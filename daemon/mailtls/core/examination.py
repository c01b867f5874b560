"""Examination: what is the matter with one peer, how sure that is, and whether its mail is really not arriving.

The order of the questions is the diagnosis. Is it a scanner? Did it get in after all, by TLS, by a waiver, in clear? Is
the fault the server's? Only then does the cause of its failures count, and a peer with several causes is not
given one blindly.

An outage is claimed of mail servers only (port 25), never of people's devices or of visitors. A cause that OpenSSL gave
is an outage by itself; failures that every scanner shows need a peer that wanted to deliver, and cut connections one
that had delivered before.

SECURITY: a stranger on the path can produce every failure here, and a stranger's name proves nothing. What a peer
did at the strict door with TLS 1.2 or better counts against believing that it is too old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mailtls.core.cause import Cause
from mailtls.core.history import PeerHistory
from mailtls.core.site import Site
from mailtls.core.suite import KeyType
from mailtls.core.trouble import STOPPED, Arrival, Trouble, arrival, fails_since, read_trouble
from mailtls.core.visitor import is_monitor, is_scanner, named_like_a_scanner

RHYTHM = timedelta(minutes=10)
DOMINANT = 0.9
MICROSOFT = ".outbound.protection.outlook.com"


class Diagnosis(StrEnum):
    """What is the matter with a peer, in the words of the report (docs/diagnoses.md)."""

    RSA_ONLY_OR_WEAK_CIPHERS = "rsa_only_or_weak_ciphers"
    TOO_OLD = "too_old"
    SSLV3_OR_OLDER = "sslv3_or_older"
    OLD_OR_NOT_TLS = "old_or_not_tls"
    NO_SHARED_GROUP_OR_SIGNATURE = "no_shared_group_or_signature"
    REJECTS_OUR_CERTIFICATE = "rejects_our_certificate"
    REJECTS_OUR_VERSION = "rejects_our_version"
    SENDS_ALERT = "sends_alert"
    SESSION_TICKETS = "session_tickets"
    NOT_TLS = "not_tls"
    TLS_ON_PLAIN_PORT = "tls_on_plain_port"
    BUGGY = "buggy"
    USED_TO_WORK = "used_to_work"
    VERSION_FALLBACK = "version_fallback"
    MIXED = "mixed"
    NETWORK = "network"
    TIMEOUT = "timeout"
    UNDECIDED = "undecided"
    REFUSES_CLEARTEXT = "refuses_cleartext"
    SERVER_FAULT = "server_fault"
    FALLS_BACK_TO_CLEARTEXT = "falls_back_to_cleartext"
    SERVED_BY_WAIVER = "served_by_waiver"
    SOMETIMES_FAILS = "sometimes_fails"
    RECOVERED = "recovered"
    MONITOR = "monitor"
    SCANNER = "scanner"


class Confidence(StrEnum):
    """How sure a diagnosis is."""

    PROVEN = "proven"
    LIKELY = "likely"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class Examination:
    """The result for one peer. `cause`: what its failures are by themselves, whatever became of them."""

    diagnosis: Diagnosis
    confidence: Confidence
    outage: bool
    cause: Diagnosis
    refuses_cleartext: bool
    trouble: Trouble
    certificate: KeyType | None = None


_OF_CAUSE: Mapping[Cause, Diagnosis] = {
    Cause.PEER_TOO_OLD: Diagnosis.TOO_OLD,
    Cause.NOT_TLS_OR_TOO_OLD: Diagnosis.OLD_OR_NOT_TLS,
    Cause.NO_SHARED_CIPHER: Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS,
    Cause.NO_SHARED_GROUP_OR_SIGALG: Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE,
    Cause.PEER_REJECTS_OUR_CERT: Diagnosis.REJECTS_OUR_CERTIFICATE,
    Cause.PEER_REJECTS_OUR_VERSION: Diagnosis.REJECTS_OUR_VERSION,
    Cause.PEER_ALERT_OTHER: Diagnosis.SENDS_ALERT,
    Cause.NOT_TLS: Diagnosis.NOT_TLS,
    Cause.TLS_ON_PLAIN_PORT: Diagnosis.TLS_ON_PLAIN_PORT,
    Cause.BUGGY_OR_SCANNER_PEER: Diagnosis.BUGGY,
    Cause.CORRUPT_RECORDS: Diagnosis.BUGGY,
    Cause.NO_SHARED_ALPN: Diagnosis.BUGGY,
    Cause.SERVER_MISCONFIGURED: Diagnosis.SERVER_FAULT,
    Cause.DH_TOO_SMALL: Diagnosis.SERVER_FAULT,
    Cause.NETWORK_CUT: Diagnosis.NETWORK,
    Cause.TIMEOUT: Diagnosis.TIMEOUT,
    Cause.FALLBACK_SCSV: Diagnosis.VERSION_FALLBACK,
    Cause.UNKNOWN: Diagnosis.UNDECIDED,
    Cause.DROPPED_AFTER_TLS: Diagnosis.UNDECIDED,
    Cause.NONE: Diagnosis.UNDECIDED,
}
# A cut, a pause or a fallback is often only the echo of a failure that has a reason.
_WEAK = (Cause.NETWORK_CUT, Cause.TIMEOUT, Cause.FALLBACK_SCSV, Cause.UNKNOWN, Cause.DROPPED_AFTER_TLS, Cause.NONE)
# Reasons of `peer_too_old` that mean SSLv3 (0x18C) or a hello in SSLv2's format (0x0FC), not TLS 1.0 or 1.1 (0x102).
_SSLV3_REASONS = frozenset({"version too low", "unknown protocol"})
_REASONED = frozenset(
    {
        Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, Diagnosis.TOO_OLD, Diagnosis.SSLV3_OR_OLDER, Diagnosis.OLD_OR_NOT_TLS,
        Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE, Diagnosis.REJECTS_OUR_CERTIFICATE, Diagnosis.REJECTS_OUR_VERSION,
        Diagnosis.USED_TO_WORK, Diagnosis.SERVER_FAULT,
    }
)  # fmt: skip
_AMBIGUOUS = frozenset(
    {
        Diagnosis.SENDS_ALERT, Diagnosis.NOT_TLS, Diagnosis.TLS_ON_PLAIN_PORT, Diagnosis.BUGGY, Diagnosis.MIXED,
        Diagnosis.SESSION_TICKETS, Diagnosis.REFUSES_CLEARTEXT, Diagnosis.VERSION_FALLBACK,
    }
)  # fmt: skip
# Diagnoses that are not believed of a peer that completed TLS 1.2 or better before.
_NOT_OF_MODERN_PEERS = frozenset(
    {
        Diagnosis.TOO_OLD, Diagnosis.SSLV3_OR_OLDER, Diagnosis.OLD_OR_NOT_TLS, Diagnosis.NOT_TLS, Diagnosis.BUGGY,
        Diagnosis.SENDS_ALERT,
    }
)  # fmt: skip
# Said of a person's device only with reserve where nobody was ever seen to get in: scanners look the same.
NEED_A_USER = _NOT_OF_MODERN_PEERS | {
    Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE, Diagnosis.REJECTS_OUR_VERSION,
}  # fmt: skip
_ARRIVED = {
    Arrival.BY_TLS: Diagnosis.RECOVERED,
    Arrival.BY_WAIVER: Diagnosis.SERVED_BY_WAIVER,
    Arrival.IN_CLEAR: Diagnosis.FALLS_BACK_TO_CLEARTEXT,
    Arrival.BY_TURNS: Diagnosis.SOMETIMES_FAILS,
}


def examine(peer: PeerHistory, site: Site, victims: frozenset[str]) -> Examination | None:
    """Diagnose one peer; None where nothing is the matter and nothing is worth a word.

    `victims`: addresses whose failures a finding about the server explains.
    """
    refuses = bool(peer.cleartext_refused.count) and not peer.cleartext_mail.count
    if not peer.failing:
        return _examine_quiet(peer, refuses=refuses)
    trouble = read_trouble(peer)
    cause = _cause(peer, trouble, site)
    how = arrival(peer, trouble)
    diagnosis = _diagnosis(peer, trouble, cause, how, refuses=refuses, victim=peer.ip in victims)
    return Examination(
        diagnosis,
        _confidence(peer, trouble, diagnosis, site),
        _is_outage(peer, trouble, diagnosis, how),
        cause,
        refuses,
        trouble,
        site.certificate_at(trouble.failed),
    )


def _examine_quiet(peer: PeerHistory, *, refuses: bool) -> Examination | None:
    """Look at a peer that never failed: a monitor, a dropper of sessions, one that wants no cleartext, or nothing."""
    if peer.mail.count:
        return None
    if _drops_like_microsoft(peer):
        dropped = sum(t.count for verdict, t in peer.verdicts.items() if verdict.cause is Cause.DROPPED_AFTER_TLS)
        diagnosis, outage = Diagnosis.SESSION_TICKETS, dropped >= STOPPED
    elif is_monitor(peer):
        diagnosis, outage = Diagnosis.MONITOR, False
    elif refuses and peer.hidden.count:
        diagnosis, outage = Diagnosis.REFUSES_CLEARTEXT, True
    else:
        return None
    return Examination(diagnosis, Confidence.LIKELY, outage, Diagnosis.UNDECIDED, refuses, read_trouble(peer))


def _diagnosis(
    peer: PeerHistory, trouble: Trouble, cause: Diagnosis, how: Arrival, *, refuses: bool, victim: bool
) -> Diagnosis:
    if is_scanner(peer):
        return Diagnosis.SCANNER
    if how in {Arrival.BY_TLS, Arrival.BY_WAIVER}:
        return _ARRIVED[how]
    if victim or trouble.broken_here or cause is Diagnosis.SERVER_FAULT:
        return Diagnosis.SERVER_FAULT
    if how is not Arrival.NOT:
        return _ARRIVED[how]
    if cause is Diagnosis.SESSION_TICKETS:
        return cause
    if is_monitor(peer):
        return Diagnosis.MONITOR
    if cause in _NOT_OF_MODERN_PEERS and _was_modern(trouble):
        return Diagnosis.USED_TO_WORK
    weak = cause in {Diagnosis.NETWORK, Diagnosis.TIMEOUT, Diagnosis.UNDECIDED}
    return Diagnosis.REFUSES_CLEARTEXT if weak and refuses and not trouble.of_a_device else cause


def _cause(peer: PeerHistory, trouble: Trouble, site: Site) -> Diagnosis:
    """Name what the failures by themselves are: the one cause, the dominant one, or `mixed`."""
    counts = {cause: count for cause, count in trouble.causes.items() if cause not in _WEAK}
    if not counts:
        if _drops_like_microsoft(peer) and not trouble.of_a_device:
            return Diagnosis.SESSION_TICKETS
        weak = max(trouble.causes, key=lambda cause: (trouble.causes[cause], -_WEAK.index(cause)), default=Cause.NONE)
        return _OF_CAUSE[weak]
    by_diagnosis: dict[Diagnosis, int] = {}
    for cause, count in counts.items():
        diagnosis = _age(trouble, site) if cause is Cause.PEER_TOO_OLD else _OF_CAUSE[cause]
        by_diagnosis[diagnosis] = by_diagnosis.get(diagnosis, 0) + count
    _settle_ambiguity(peer, by_diagnosis)
    first = max(by_diagnosis, key=lambda diagnosis: (by_diagnosis[diagnosis], diagnosis))
    return first if by_diagnosis[first] >= DOMINANT * sum(by_diagnosis.values()) else Diagnosis.MIXED


def _settle_ambiguity(peer: PeerHistory, by_diagnosis: dict[Diagnosis, int]) -> None:
    """Let `too old, or not TLS` (OpenSSL 1.0) be what the peer's other failures, on any service, say more exactly."""
    if Diagnosis.OLD_OR_NOT_TLS not in by_diagnosis:
        return
    more_exact = (Diagnosis.TOO_OLD, Diagnosis.SSLV3_OR_OLDER, Diagnosis.NOT_TLS)
    exact = next((diagnosis for diagnosis in more_exact if diagnosis in by_diagnosis), None)
    if exact is None and any(verdict.cause is Cause.PEER_TOO_OLD for verdict in peer.verdicts):
        exact = Diagnosis.TOO_OLD
    if exact is not None:
        by_diagnosis[exact] = by_diagnosis.get(exact, 0) + by_diagnosis.pop(Diagnosis.OLD_OR_NOT_TLS)


def _age(trouble: Trouble, site: Site) -> Diagnosis:
    """Tell TLS 1.0 and 1.1 from SSLv3: by the reason, or because this server took TLS 1.0 from others meanwhile."""
    said = {reason for reason in trouble.reasons if reason in _SSLV3_REASONS or reason == "unsupported protocol"}
    if said and said <= _SSLV3_REASONS:
        return Diagnosis.SSLV3_OR_OLDER
    if not trouble.of_a_device and site.took_tls10_during(trouble.failed):
        return Diagnosis.SSLV3_OR_OLDER
    return Diagnosis.TOO_OLD


def _was_modern(trouble: Trouble) -> bool:
    """Tell whether the peer completed TLS 1.2 or better at the strict door, at any time."""
    return bool(trouble.modern.count)


def _drops_like_microsoft(peer: PeerHistory) -> bool:
    """Tell whether this is a server of Microsoft that leaves without a word after the server's first flight."""
    if not (peer.name or "").lower().endswith(MICROSOFT):
        return False
    return any(verdict.cause in {Cause.NETWORK_CUT, Cause.DROPPED_AFTER_TLS} for verdict in peer.verdicts)


def _is_outage(peer: PeerHistory, trouble: Trouble, diagnosis: Diagnosis, how: Arrival) -> bool:
    if trouble.of_a_device or how is not Arrival.NOT or (named_like_a_scanner(peer) and not peer.mail.count):
        return False
    if diagnosis in _REASONED:
        return True
    if diagnosis in _AMBIGUOUS:
        return bool(peer.mail.count or peer.hidden.count) or _keeps_trying(trouble)
    if diagnosis in {Diagnosis.NETWORK, Diagnosis.TIMEOUT, Diagnosis.UNDECIDED}:
        return peer.mail.last is not None and fails_since(peer, peer.mail.last) >= STOPPED
    return False


def _keeps_trying(trouble: Trouble) -> bool:
    """Tell whether the failures have the rhythm of a queue: some of them, over more than some minutes."""
    failed = trouble.failed
    if failed.first is None or failed.last is None:
        return False
    return failed.count >= STOPPED and failed.last - failed.first >= RHYTHM


def _confidence(peer: PeerHistory, trouble: Trouble, diagnosis: Diagnosis, site: Site) -> Confidence:
    often = trouble.failed.count >= STOPPED
    if diagnosis in NEED_A_USER and trouble.of_a_device and not trouble.worked.count:
        return Confidence.WEAK
    match diagnosis:
        case Diagnosis.TOO_OLD | Diagnosis.SSLV3_OR_OLDER | Diagnosis.REJECTS_OUR_CERTIFICATE:
            sure = often and not trouble.elsewhere
        case Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS:
            sure = often and site.certificate_at(trouble.failed) is KeyType.ECDSA
        case Diagnosis.SCANNER:
            sure = bool(peer.failed_at) and named_like_a_scanner(peer)
        case Diagnosis.RECOVERED | Diagnosis.FALLS_BACK_TO_CLEARTEXT | Diagnosis.SERVED_BY_WAIVER:
            sure = bool(peer.mail.count) and trouble.failed.last is not None
        case Diagnosis.SERVER_FAULT:
            sure = trouble.broken_here
        case Diagnosis.NETWORK | Diagnosis.TIMEOUT | Diagnosis.UNDECIDED | Diagnosis.MIXED | Diagnosis.SOMETIMES_FAILS:
            return Confidence.WEAK
        case _:
            sure = False
    return Confidence.PROVEN if sure else Confidence.LIKELY
