"""Rulings: for each diagnosis the rule that leads to it, in a sentence or two for `explain`.

The rules themselves are core/examination.py (order of the questions), core/trouble.py (what became of the mail) and
core/visitor.py (scanners and monitors); docs/diagnoses.md tells the same at length. A test holds that no
diagnosis is without its rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailtls.core.diagnosis import Confidence, Diagnosis

_DOMINANT = "At least nine in ten of its failures that have a reason say so"

RULES: Mapping[Diagnosis, str] = {
    Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS: (
        f"{_DOMINANT}: no shared cipher. The log does not show what the peer offered; it is proven where "
        "only ECDSA suites were seen in use here and the peer failed three times or more."
    ),
    Diagnosis.TOO_OLD: f"{_DOMINANT}: unsupported protocol (reason 0x102), which is TLS 1.0 or 1.1.",
    Diagnosis.SSLV3_OR_OLDER: (
        f"{_DOMINANT}: version too low (0x18C) or unknown protocol (0x0FC), which is SSLv3 or a hello in the format "
        "of SSLv2; or unsupported protocol while this server took TLS 1.0 from others."
    ),
    Diagnosis.OLD_OR_NOT_TLS: f"{_DOMINANT}: unknown protocol of OpenSSL 1.0, which does not tell the two apart.",
    Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE: f"{_DOMINANT}: no suitable key share or signature algorithm.",
    Diagnosis.REJECTS_OUR_CERTIFICATE: f"{_DOMINANT}: alert 42, 45, 46 or 48, sent by the peer about the certificate.",
    Diagnosis.REJECTS_OUR_VERSION: f"{_DOMINANT}: alert 70 (protocol version), sent by the peer.",
    Diagnosis.SENDS_ALERT: f"{_DOMINANT}: a fatal alert, sent by the peer, about neither certificate nor version.",
    Diagnosis.SESSION_TICKETS: (
        "A server named *.outbound.protection.outlook.com leaves without a word during or right after the handshake."
    ),
    Diagnosis.NOT_TLS: f"{_DOMINANT}: the first bytes were no TLS record.",
    Diagnosis.TLS_ON_PLAIN_PORT: f"{_DOMINANT}: a TLS hello arrived where SMTP in cleartext was expected.",
    Diagnosis.BUGGY: f"{_DOMINANT}: the handshake is malformed.",
    Diagnosis.USED_TO_WORK: (
        "Its failures look like those of an old peer, but it completed TLS 1.2 or better at the strict door: that "
        "is stronger proof, because anybody on the path can break a handshake."
    ),
    Diagnosis.VERSION_FALLBACK: f"{_DOMINANT}: inappropriate fallback.",
    Diagnosis.MIXED: "It fails for several reasons, none of them in nine of ten failures.",
    Diagnosis.NETWORK: "No failure has a reason; most are cut connections. An outage only if it delivered before.",
    Diagnosis.TIMEOUT: "No failure has a reason; most are timeouts. An outage only if it delivered before.",
    Diagnosis.UNDECIDED: "The lines give no reason at all.",
    Diagnosis.REFUSES_CLEARTEXT: (
        "It saw no STARTTLS and left at once (ehlo=1 quit=1), never delivered in cleartext, and its failures have no "
        "better reason."
    ),
    Diagnosis.SERVER_FAULT: (
        "Its failures are what a fault of the server itself causes, or happened while one was seen: no peer is "
        "charged with them."
    ),
    Diagnosis.FALLS_BACK_TO_CLEARTEXT: "After its failures it delivered mail without TLS.",
    Diagnosis.SERVED_BY_WAIVER: (
        "After its failures it was served at a relaxed door, or delivered in cleartext with STARTTLS hidden from it."
    ),
    Diagnosis.SOMETIMES_FAILS: "Handshakes that succeed and handshakes that fail take turns.",
    Diagnosis.RECOVERED: "After its last failure it completed the handshake at the strict door.",
    Diagnosis.MONITOR: "Its handshakes are completed and dropped, or cut at even intervals, and it never sent mail.",
    Diagnosis.SCANNER: (
        "It failed in three different ways or more (two, under the name of a known scanning service), in bursts within "
        "ten minutes, and never sent mail."
    ),
}

SURE: Mapping[Confidence, str] = {
    Confidence.PROVEN: "proven by these lines",
    Confidence.LIKELY: "likely, not proven",
    Confidence.WEAK: "weak: the lines do not say enough",
}
