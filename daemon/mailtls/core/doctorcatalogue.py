"""The closed list of what `mailtlsctl doctor` can find (docs/doctor.md): ids that stay, with area, severity and reason.

What the log shows has the ids of `mailtlsctl report` (core/complaint.py) with `log_` in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mailtls.core.complaint import Finding
from mailtls.core.doctorfinding import Area, Meaning, Severity

_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
_454 = "Postfix announces STARTTLS all the same and answers 454, so that senders wait or send in clear"
_NONE = "nobody gets TLS: Postfix announces it and answers 454, Dovecot fails every login"
_421 = "Postfix answers EHLO with 421 and hangs up, for every client; `postfix check` does not notice"
_DEAD = "every new smtpd process dies, and clients wait a minute for a greeting that does not come"
_MASTER = "At the next reload or start Postfix's master dies of it, and all mail stops; `postfix check` is silent"

_POSTFIX: dict[str, tuple[Severity, str]] = {
    "postfix_config_broken": (_E, "Every new process of Postfix reads these files, and dies of them without a reload."),
    "parameter_unknown": (_W, "Postfix does not know this parameter and ignores it: what it was to do is not done."),
    "parameter_twice": (_W, "Of two settings for one parameter the last one counts; the other is not in force."),
    "value_invalid": (_E, f"Postfix accepts the file, but {_DEAD}."),
    "option_broken": (_E, f"Blanks around `=` in a -o are no option to Postfix: at this port {_DEAD}."),
    "service_twice": (_W, "Of two entries for one port Postfix uses the last; the other is not in force."),
    "program_missing": (_E, "Nothing answers at this port: master goes on starting a program that is not there."),
    "listener_unknown": (_E, f"{_MASTER}."),
    "listener_not_here": (_E, f"{_MASTER}."),
    "listener_taken": (_E, f"{_MASTER}; or the two share connections in silence."),
    "milter_invalid": (_E, "Postfix answers MAIL with 451 and STARTTLS with 454, or hangs up: no mail comes in."),
    "level_invalid": (_E, f"Postfix does not know this TLS level: {_DEAD}."),
    "tls_off": (_W, "Mail comes in without encryption, and senders that insist on TLS (DANE, MTA-STS) do not send."),
    "passwords_in_clear": (_W, "People's passwords go over the net in clear, or they cannot log in at all."),
    "tls_demanded": (_W, "An MX must not demand TLS (RFC 3207 4): mail of servers without it does not come in."),
    "starttls_hidden": (_W, "STARTTLS is hidden from everybody: nobody's mail comes in encrypted."),
    "protocols_invalid": (_E, f"One unknown word switches TLS off: {_454}; `postfix check` is silent."),
    "protocols_invalid_unused": (_W, "No service uses this list now; the first that demands TLS would have none."),
    "protocols_not_as_meant": (_W, "Postfix accepts the list without a word, but reads it otherwise than it looks."),
    "protocols_none": (_E, "The list is valid but leaves no version: every handshake fails."),
    "protocols_too_old": (_W, "Senders of today want TLS 1.2 or 1.3, and find neither: they fail or send in clear."),
    "protocols_too_strict": (_W, "Very many mail servers know no TLS 1.3; all of these fail here, or send in clear."),
    "protocols_without_tls13": (_N, "TLS 1.3 is the quickest and safest version; nothing speaks against it."),
    "old_versions_for_few": (_N, "A floor of TLS 1.2 with a waiver for these peers would weaken nobody else."),
    "weakened_for_all": (_W, "What a few old peers need is offered to everybody; a waiver gives it to them alone."),
    "ciphers_grade_invalid": (_E, "Postfix greets, and hangs up on every client that starts TLS."),
    "ciphers_none": (_E, "No cipher is left that this OpenSSL and these certificates could serve: clients fail."),
    "ciphers_weak": (_W, "These ciphers hide nothing from anybody who wants to know."),
    "ciphers_too_few": (_W, "The ciphers that every sender of today has (ECDHE with AES-GCM) are not among them."),
    "ciphers_security_level": (_W, "A security level in a cipher list switches TLS 1.0 and 1.1 off without saying so."),
    "certificate_none": (_E, f"Without a certificate there is no TLS: {_454}."),
    "certificate_off": (_E, "Only anonymous ciphers are offered, which next to no mail server takes."),
    "certificate_missing": (_E, f"One bad pair is enough, even beside a good one, and {_NONE}."),
    "certificate_broken": (_E, f"One bad pair is enough, even beside a good one, and {_NONE}."),
    "certificate_expired": (_E, "Nothing is logged of it, but senders that check certificates do not send any more."),
    "certificate_expires_soon": (_W, "Renewal should have happened by now; nothing is logged when it ends."),
    "certificate_not_yet": (_E, "Senders that check certificates do not send; the clock may be wrong."),
    "certificate_name": (_W, "Senders that check names (MTA-STS, verify) do not send to a name that it does not bear."),
    "certificate_ecdsa_only": (_W, "Senders that know only RSA, banks and old appliances, share no cipher with it."),
    "certificate_rsa_only": (_N, "Everybody can use RSA; an ECDSA certificate beside it saves time, no more."),
    "certificate_self_signed": (_N, "Most senders do not look; those that check DANE or MTA-STS do not send."),
    "authority_unknown": (_N, "Most senders do not look; those that check MTA-STS do not send."),
    "chain_incomplete": (_W, "Senders that check certificates cannot build the way to an authority, and do not send."),
    "chain_out_of_order": (_W, "Some TLS libraries do not sort: to them the chain is broken."),
    "chain_files_order": (_E, f"In these files every key stands before its certificate: {_454}."),
    "chain_files_win": (_W, "smtpd_tls_chain_files alone counts; the certificates named beside it are not used."),
    "key_missing": (_E, f"A certificate without its key is none, and {_NONE}."),
    "key_broken": (_E, f"A certificate without its key is none, and {_NONE}."),
    "key_encrypted": (_E, "The server waits for a pass phrase that nobody can type, and no client is greeted."),
    "key_mismatch": (_E, f"The key does not belong to the certificate, mostly after a renewal: {_NONE}."),
    "key_short": (_W, "Many libraries refuse RSA keys below 2048 bits."),
    "key_readable": (_W, "Whoever has the key can pretend to be this server."),
    "ca_file_broken": (_E, f"The authorities are needed only to check clients, but without the file: {_454}."),
    "digest_unknown": (_E, f"This OpenSSL has no such digest: {_454}."),
    "openssl_file_missing": (_E, f"Postfix is told to read an OpenSSL configuration that is not there: {_454}."),
    "dh_file_broken": (_N, "Postfix uses its own parameters instead, which are good; the setting does nothing."),
    "dh_too_small": (_W, "Today's libraries refuse such parameters: handshakes with DHE fail."),
    "tls_option_unknown": (_W, "Postfix warns and goes on: what this word was to do is not done."),
    "loglevel_zero": (_N, "Successful handshakes are not logged: nobody can tell who uses which version."),
    "loglevel_high": (_N, "Levels above 1 fill the log; they are for looking for one fault."),
    "port_logging_off": (_N, "With the client's port in the log, sessions behind one address can be told apart."),
    "tickets_microsoft": (_W, "Servers of Microsoft leave when they get TLS 1.3 tickets, and do not fall back."),
    "tickets_between_services": (_N, "A ticket of one resumes at the other, whatever its certificate (up to 3.11)."),
    "discard_map_for_people": (_W, "Where it hides STARTTLS, people there send passwords in clear, or cannot log in."),
    "discard_table_broken": (_E, f"A table that cannot be read: {_421}."),
    "discard_table_network": (_W, f"When it is down or slow, {_421}, or waits 100 s before its greeting."),
    "discard_table_rules": (_W, "Postfix leaves such lines out, with a warning in the log only."),
    "sni_table_broken": (_E, "Clients that name a host are refused."),
    "lmtp_socket_missing": (_E, "Postfix cannot hand mail over: it waits in the queue."),
}
_OTHERS: dict[str, tuple[Area, Severity, str]] = {
    "dovecot_config_broken": (Area.DOVECOT, _E, "Dovecot does not start with this; a reload keeps the old settings."),
    "dovecot_protocols_invalid": (Area.DOVECOT, _E, "Dovecot starts, and every TLS login fails; nothing checks this."),
    "dovecot_protocols_obsolete": (Area.DOVECOT, _W, "Dovecot 2.3 guesses a minimum from the old name, 2.4 stops."),
    "dovecot_ciphers_invalid": (Area.DOVECOT, _E, "Dovecot starts, and every TLS login fails; nothing checks this."),
    "dovecot_curves_invalid": (Area.DOVECOT, _E, "Dovecot starts, and every TLS login fails; nothing checks this."),
    "dovecot_ssl_off": (Area.DOVECOT, _W, "People's passwords go over the net in clear."),
    "dovecot_tls_fails": (Area.DOVECOT, _E, "A handshake with the running Dovecot failed: nobody logs in by TLS."),
    "dovecot_lmtp_missing": (Area.DOVECOT, _E, "Postfix hands mail to a socket that Dovecot is not told to open."),
    "courier_protocol_invalid": (Area.COURIER, _W, "Courier does not know the name; what it takes then is open."),
    "courier_protocol_unused": (Area.COURIER, _W, "Debian's Courier is built with GnuTLS and passes this over."),
    "courier_protocol_old": (Area.COURIER, _N, "TLS 1.0 and 1.1 are taken; programs of ten years know TLS 1.2."),
    "openssl_limits": (Area.SYSTEM, _W, "Dovecot, Courier and old Postfix follow it: old clients fail there."),
    "fail2ban_aggressive": (Area.SYSTEM, _W, "A peer whose handshakes fail is banned: its mail does not come in."),
    "fail2ban_banned": (Area.SYSTEM, _E, "Peers that failed over TLS are no attackers; their mail does not come in."),
    "mta_sts_name": (Area.SENDERS, _E, "The published policy does not name this host: who follows it does not send."),
    "mta_sts_certificate": (Area.SENDERS, _E, "The policy demands a trusted certificate that bears the name."),
    "dane_mismatch": (Area.SENDERS, _E, "Senders that check DANE find another certificate than published: no mail."),
    "dane_unusable": (Area.SENDERS, _W, "Usages 0 and 1 are not for mail (RFC 7672 3.1.3): senders pass them over."),
    "over_by_now": (Area.LOG, _N, "The log tells of it, and of handshakes that succeeded after it."),
    "began_after": (Area.LOG, _W, "Failures that begin with a change have their cause in it."),
}
_LOG_WARNINGS = frozenset({Finding.ECDSA_ONLY_CERTIFICATE, Finding.TLS_RATE_LIMIT})
LOG = "log_"

CATALOGUE: Mapping[str, Meaning] = MappingProxyType(
    {
        **{name: Meaning(Area.POSTFIX, severity, why) for name, (severity, why) in _POSTFIX.items()},
        **{name: Meaning(area, severity, why) for name, (area, severity, why) in _OTHERS.items()},
        **{
            f"{LOG}{each.value}": Meaning(
                Area.LOG, _W if each in _LOG_WARNINGS else _E, "The log proves it: see mailtlsctl report."
            )
            for each in Finding
        },
    }
)
"""Every id with its meaning."""

_RANK = {severity: place for place, severity in enumerate(Severity)}
_PLACE = {name: place for place, name in enumerate(CATALOGUE)}


def rank(name: str) -> tuple[int, int]:
    """Give the place of an id: errors first, then as the catalogue has them."""
    return _RANK[CATALOGUE[name].severity], _PLACE[name]
