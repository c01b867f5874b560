"""Advice: what to do about each diagnosis, with the exact setting or command.

`AT_PORT_25` is for mail servers, `ON_A_DEVICE` for people's own programs at submission, IMAP and POP3, where no waiver
exists and the answer is always on the device or for everybody. `{ip}` becomes the address.

A server-side fix that weakens nothing comes before a waiver, and a waiver before nothing at all; hiding STARTTLS is
never advised of a peer that was seen to refuse cleartext.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailtls.core.examination import NEED_A_USER, Diagnosis, Examination
from mailtls.core.findings import ADD_RSA
from mailtls.core.history import PeerHistory
from mailtls.core.peer import is_address
from mailtls.core.printable import printable
from mailtls.core.suite import KeyType

_CHECK_CERTIFICATE = (
    "check with `openssl s_client -starttls smtp -connect MX:25 -verify_return_error -verify_hostname MX` that "
    "it is publicly trusted and not self-signed, not expired, bears the name of the MX, and that "
    "`smtpd_tls_chain_files` or "
    "`smtpd_tls_cert_file` holds the intermediate certificates too"
)
# No level is named: `allow-legacy` takes the narrowest that the evidence supports, which may be legacy-rsa.
_WEAK_CIPHERS = (
    "it knows only ciphers that this server does not have: see `smtpd_tls_ciphers` and "
    "`smtpd_tls_exclude_ciphers`, or let in "
    "this one peer with `mailtlsctl allow-legacy {ip}`"
)

AT_PORT_25: Mapping[Diagnosis, str] = {
    Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS: (
        f"If the certificate is ECDSA only, {ADD_RSA}; if an RSA one is there already, {_WEAK_CIPHERS}."
    ),
    Diagnosis.TOO_OLD: (
        "It knows nothing newer than TLS 1.0 or 1.1, which `smtpd_tls_protocols` does not allow: ask its "
        "operator for an "
        "update, and until then let in this one peer with `mailtlsctl allow-legacy {ip} --level legacy`."
    ),
    Diagnosis.SSLV3_OR_OLDER: (
        "It speaks SSLv3 or greets in the format of SSLv2, which no OpenSSL of today serves whatever "
        "`smtpd_tls_protocols` says: ask its operator for an update; only the gateway can let it in, with "
        "`mailtlsctl allow-legacy {ip} --level sslv3`."
    ),
    Diagnosis.OLD_OR_NOT_TLS: (
        "OpenSSL 1.0 does not tell whether it is too old for `smtpd_tls_protocols` or speaks no TLS at all: "
        "capture one hello with `tcpdump -w hello.pcap host {ip} and port 25` before you let it in with "
        "`mailtlsctl allow-legacy {ip} --level sslv3`."
    ),
    Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE: (
        "It shares no key exchange group or signature algorithm with this server: remove your own "
        "`tls_eecdh_auto_curves` and any `@SECLEVEL` in `tls_medium_cipherlist` and `tls_high_cipherlist`, and "
        "if the "
        f"certificate is ECDSA only, {ADD_RSA}."
    ),
    Diagnosis.REJECTS_OUR_CERTIFICATE: (
        f"It does not accept the certificate ({{reason}}): {_CHECK_CERTIFICATE}; a weaker door or hidden "
        f"STARTTLS would not "
        "help it."
    ),
    Diagnosis.REJECTS_OUR_VERSION: (
        "It finds this server too old (alert protocol version): remove `<=` limits and `!TLSv1.2`, `!TLSv1.3` from "
        "`smtpd_tls_protocols`, and update OpenSSL."
    ),
    Diagnosis.SENDS_ALERT: (
        "It broke the handshake off itself ({reason}): its own log says why; if that is about ciphers, set "
        "`smtpd_tls_ciphers = medium`, remove `smtpd_tls_exclude_ciphers` and use no `smtpd_tls_dh1024_param_file`."
    ),
    Diagnosis.SESSION_TICKETS: (
        "Servers of Microsoft leave without a word when they get TLS 1.3 session tickets that they do not like: "
        "set `tls_ssl_options = NO_TICKET` and run `postfix reload`; do not hide STARTTLS, they do not "
        "fall back."
    ),
    Diagnosis.NOT_TLS: (
        "What it sent after STARTTLS was no TLS ({reason}): a web request is a scanner's and needs nothing; "
        "plain SMTP comes "
        "from a firewall in between that rewrites mail, whose SMTP inspection its operator should switch off."
    ),
    Diagnosis.TLS_ON_PLAIN_PORT: (
        "It begins with TLS on a port that begins in clear: its operator should use STARTTLS on port 25, or "
        "port 465 for submission, where `smtpd_tls_wrappermode = yes` serves it."
    ),
    Diagnosis.BUGGY: (
        "Its handshake makes no sense ({reason}), as scanners' often do not: nothing to do, unless its operator "
        "says that mail is missing; then capture one with `tcpdump -w hello.pcap host {ip} and port 25`."
    ),
    Diagnosis.USED_TO_WORK: (
        "It completed TLS 1.2 or better here before, so it is not too old: ask its operator what changed, and "
        "give it no waiver, because somebody on the path can break handshakes to win one; see `openssl "
        "s_client` from another network."
    ),
    Diagnosis.VERSION_FALLBACK: (
        "It came back with a lower version after an earlier failure, and was rightly refused: look for its "
        "first failure with `grep -F {ip} LOG`, before the time of this log if need be."
    ),
    Diagnosis.MIXED: (
        "It fails in several ways ({reasons}), so that no single remedy is certain: see each with "
        "`mailtlsctl explain {ip} --log LOG` before you change anything."
    ),
    Diagnosis.NETWORK: (
        "The connection was cut during the handshake, which does not tell why and alone proves nothing: count "
        "it; if mail is missing, look for firewalls and a too large MTU on the path with `tracepath {ip}`."
    ),
    Diagnosis.TIMEOUT: (
        "The handshake came to a halt, mostly because large packets get lost: look for a black hole on the path "
        "with `tracepath {ip}`, and let ICMP `fragmentation needed` through."
    ),
    Diagnosis.UNDECIDED: (
        "The log gives no reason: set `smtpd_tls_loglevel = 1` (2 for a short time) and see the next failure with "
        "`mailtlsctl explain {ip} --log LOG`."
    ),
    Diagnosis.REFUSES_CLEARTEXT: (
        "It looks for STARTTLS, does not get it, and leaves (`ehlo=1 quit=1`): the `cleartext` level does not "
        "help it, so take "
        "it out of `smtpd_discard_ehlo_keyword_address_maps` and repair what breaks its handshake."
    ),
    Diagnosis.SERVER_FAULT: (
        "The fault is this server's own and not the peer's: see the findings about the server, repair it there, "
        "run `postfix reload`, and give this peer no waiver."
    ),
    Diagnosis.FALLS_BACK_TO_CLEARTEXT: (
        "No outage: after the failed handshake it delivers in cleartext, so its mail arrives unencrypted and "
        "anybody on the path can read it."
    ),
    Diagnosis.SERVED_BY_WAIVER: (
        "No outage: it gets in by a waiver or because STARTTLS is hidden from it "
        "(`smtpd_discard_ehlo_keyword_address_maps`); see from time to time whether it still needs that."
    ),
    Diagnosis.SOMETIMES_FAILS: (
        "No outage: some of its handshakes fail and others succeed, as with several servers behind one address; "
        "nothing to do unless its operator says that mail is missing."
    ),
    Diagnosis.RECOVERED: "No outage: its last handshakes succeeded, so nothing needs doing.",
    Diagnosis.MONITOR: (
        "It completes or begins the handshake and leaves, as monitors do: nothing to do; if it is a mail "
        "server, it may dislike "
        f"the certificate without a word: {_CHECK_CERTIFICATE}."
    ),
    Diagnosis.SCANNER: (
        "A scanner: many failures at once and no mail ever; nothing to do, and if it is a nuisance, drop its address "
        "at the firewall."
    ),
}  # fmt: skip

_UPDATE_DEVICE = (
    "update the mail program or its operating system, or have it use a newer TLS library; there is no waiver "
    "for people's devices"
)
ON_A_DEVICE: Mapping[Diagnosis, str] = {
    Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS: (
        "A user's mail program shares no cipher with the server: if the certificate is ECDSA only, put an RSA "
        "one beside it (`smtpd_tls_chain_files` for submission, `ssl_alt_cert` in Dovecot 2.3), else "
        + _UPDATE_DEVICE + "."
    ),
    Diagnosis.TOO_OLD: (
        "A user's mail program knows nothing newer than TLS 1.0 or 1.1, which `smtpd_tls_mandatory_protocols` "
        "(submission) or "
        "`ssl_min_protocol` (Dovecot) does not allow: " + _UPDATE_DEVICE + "."
    ),
    Diagnosis.SSLV3_OR_OLDER: (
        "A user's mail program speaks SSLv3 or greets in the format of SSLv2, which no OpenSSL of today serves: "
        + _UPDATE_DEVICE + "."
    ),
    Diagnosis.OLD_OR_NOT_TLS: (
        "A user's mail program is too old, or set to no encryption on a port that begins with TLS: set it to "
        "SSL/TLS on 465, "
        "993 or 995 or to STARTTLS on 587, 143 or 110, and " + _UPDATE_DEVICE + "."
    ),
    Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE: (
        "A user's mail program shares no key exchange group or signature algorithm with the server: remove your "
        "own `tls_eecdh_auto_curves` and, in Dovecot, `ssl_curve_list`, else " + _UPDATE_DEVICE + "."
    ),
    Diagnosis.REJECTS_OUR_CERTIFICATE: (
        "A user's mail program does not accept the certificate ({reason}): see that it is set to a server name "
        "that the certificate bears, and that the file in `smtpd_tls_chain_files` (submission) or `ssl_cert` "
        "(Dovecot) is not expired "
        "or self-signed and holds the intermediate certificates; try `openssl s_client -connect MX:993 "
        "-verify_hostname MX`."
    ),
    Diagnosis.NOT_TLS: (
        "What it sent was no TLS ({reason}): a scanner, or a user's mail program that is set to no encryption "
        "on a port that begins with TLS: set it to SSL/TLS there; there is no waiver for people's devices."
    ),
    Diagnosis.USED_TO_WORK: (
        "It completed TLS 1.2 or better here before: another device behind the same address is too old, or "
        "badly set up; "
        + _UPDATE_DEVICE + "."
    ),
    Diagnosis.MONITOR: "It completes or begins the handshake and leaves, as monitors do: nothing to do.",
    Diagnosis.RECOVERED: "Nothing to do: the last handshakes from this address succeeded.",
    Diagnosis.SOMETIMES_FAILS: (
        "Some handshakes from this address fail and others succeed, as with several devices behind one router: "
        "nothing to do unless a user complains; there is no waiver for people's devices."
    ),
    Diagnosis.SERVER_FAULT: (
        "The fault is this server's own and not the user's: see the findings about the server, and repair it there "
        "(`doveconf -n` and `doveadm reload` for Dovecot, `postconf -n` and `postfix reload` for submission)."
    ),
    Diagnosis.TIMEOUT: (
        "The handshake came to a halt: a scanner that waits, or a user's network that loses large packets; "
        "nothing to do unless a user complains."
    ),
    Diagnosis.NETWORK: (
        "The connection was cut during the handshake, which alone proves nothing: many mail programs do this "
        "when they dislike "
        "a certificate, and all scanners; nothing to do unless a user complains."
    ),
}  # fmt: skip


def advise(peer: PeerHistory, examination: Examination) -> str:
    """Say what to do about a peer: one sentence, and others for what is special about it."""
    found, trouble = examination.diagnosis, examination.trouble
    at_device = trouble.of_a_device and bool(trouble.services)
    sentence = ON_A_DEVICE.get(found) if at_device else None
    if sentence is None:
        sentence = _for_this_certificate(examination) or AT_PORT_25[found]
    address = peer.ip if is_address(peer.ip) else "ADDRESS"
    # The log's own words go in last, so that no mark in them is taken for one of ours.
    for mark, words in (("{ip}", address), ("{reasons}", _reasons(examination)), ("{reason}", _reason(examination))):
        sentence = sentence.replace(mark, words)
    return " ".join((sentence, *_remarks(peer, examination, at_device=at_device)))


def _for_this_certificate(examination: Examination) -> str | None:
    """Say more of `no shared cipher` where the log shows which certificates are in use at port 25."""
    if examination.diagnosis is not Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS:
        return None
    if examination.certificate is KeyType.ECDSA:
        return f"It knows most likely only RSA, and the certificate in use is ECDSA: {ADD_RSA}."
    if examination.certificate is KeyType.RSA:
        return f"The server has an RSA certificate, so {_WEAK_CIPHERS}."
    return None


def _remarks(peer: PeerHistory, examination: Examination, *, at_device: bool) -> list[str]:
    trouble, found = examination.trouble, examination.diagnosis
    remarks = []
    if found in _STILL_BROKEN and examination.cause in BECAUSE:
        remarks.append(f"{BECAUSE[examination.cause]}.")
    if found in _SUGGESTS_WAIVER and not at_device and trouble.modern.count:
        remarks.append("It has completed TLS 1.2 or better here before, so look twice before you let it down.")
    if found in NEED_A_USER and at_device and not trouble.worked.count:
        remarks.append("Nobody was seen to get in from this address, so a scanner is as likely as a user.")
    if found in _AGE and not at_device and (peer.name or "").lower().endswith(KNOWN_MODERN):
        remarks.append(
            "But the name is that of a large provider with TLS 1.3: look for its earlier failure, and give no waiver."
        )
    if examination.refuses_cleartext and found not in _NO_REMARK and not at_device:
        remarks.append("It refuses cleartext too (`ehlo=1 quit=1`), so do not hide STARTTLS from it.")
    if trouble.elsewhere and found not in _NO_REMARK:
        where = " and ".join(sorted(trouble.elsewhere))
        remarks.append(f"The same address fails at {where} too: a person's device, which no waiver helps.")
    if trouble.relaxed and found not in _NO_REMARK and is_address(peer.ip):
        doors = " and ".join(f"`{door}`" for door in sorted(trouble.relaxed))
        remarks.append(f"It fails at the door {doors} as well, so end that waiver: `mailtlsctl revoke {peer.ip}`.")
    return remarks


def _reason(examination: Examination) -> str:
    """Give the most frequent reason, in the log's own words."""
    reasons = {reason: count for reason, count in examination.trouble.reasons.items() if reason}
    most = min(reasons, key=lambda reason: (-reasons[reason], reason), default="no reason given")
    return printable(most, 80)


def _reasons(examination: Examination) -> str:
    causes = sorted(examination.trouble.causes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {cause}" for cause, count in causes[:4])


_NO_REMARK = frozenset(
    {
        Diagnosis.SCANNER, Diagnosis.MONITOR, Diagnosis.RECOVERED, Diagnosis.SERVER_FAULT, Diagnosis.REFUSES_CLEARTEXT,
        Diagnosis.SERVED_BY_WAIVER, Diagnosis.SOMETIMES_FAILS, Diagnosis.FALLS_BACK_TO_CLEARTEXT,
    }
)  # fmt: skip
_AGE = frozenset({Diagnosis.TOO_OLD, Diagnosis.SSLV3_OR_OLDER, Diagnosis.OLD_OR_NOT_TLS})
# Servers that are surely modern: what looks old in them is a fallback after an earlier failure, or somebody in between.
KNOWN_MODERN = (".outlook.com", ".google.com", ".yahoo.com", ".icloud.com", ".apple.com", ".amazonses.com")
_SUGGESTS_WAIVER = frozenset({Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS, Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE})
_STILL_BROKEN = frozenset({Diagnosis.FALLS_BACK_TO_CLEARTEXT, Diagnosis.SOMETIMES_FAILS, Diagnosis.REFUSES_CLEARTEXT})
# Why the handshakes fail of a peer whose diagnosis is about what became of it.
BECAUSE: Mapping[Diagnosis, str] = {
    Diagnosis.RSA_ONLY_OR_WEAK_CIPHERS: (
        f"Its handshakes find no shared cipher: if the certificate is ECDSA only, {ADD_RSA}"
    ),
    Diagnosis.TOO_OLD: "Its handshakes fail because it knows nothing newer than TLS 1.0 or 1.1 (`smtpd_tls_protocols`)",
    Diagnosis.SSLV3_OR_OLDER: "Its handshakes fail because it speaks SSLv3 or greets in the format of SSLv2",
    Diagnosis.OLD_OR_NOT_TLS: "Its handshakes fail because it is too old or speaks no TLS; the log does not tell which",
    Diagnosis.NO_SHARED_GROUP_OR_SIGNATURE: (
        "Its handshakes find no shared group or signature algorithm: see `tls_eecdh_auto_curves`"
    ),
    Diagnosis.REJECTS_OUR_CERTIFICATE: f"It does not accept the certificate: {_CHECK_CERTIFICATE}",
    Diagnosis.REJECTS_OUR_VERSION: "It finds this server too old: see `smtpd_tls_protocols`",
    Diagnosis.SENDS_ALERT: "It breaks the handshakes off with an alert of its own",
    Diagnosis.NOT_TLS: "What it sends after STARTTLS is no TLS",
    Diagnosis.BUGGY: "Its handshakes make no sense",
    Diagnosis.MIXED: "Its handshakes fail in several ways",
}  # fmt: skip
