"""Complaints: what Postfix and Dovecot themselves say against their TLS settings, and what to do about it.

`COMPLAINTS` is the table: a part of the message (compared without case), the finding that it proves, and how its
sentence is made. The first row that matches counts, so the exact ones stand above the general ones. Messages of
Postfix: tls/tls_server.c tls_server_init, tls/tls_certkey.c, tls/tls_misc.c, smtpd/smtpd.c; of Dovecot:
src/login-common, src/lib-ssl-iostream and src/lib-settings, 2.0 to 2.4.

Nothing here is an error of a peer: no client is to be blamed, and no waiver helps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.printable import printable
from mailtls.core.protocollist import VERSIONS, Word, newest_needed, read_words, rewritten, stray_characters


class Finding(StrEnum):
    """What is wrong with the server, in one word; the most urgent first."""

    INVALID_PROTOCOL_LIST = "invalid_protocol_list"
    NO_PROTOCOLS = "no_protocols"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    KEY_UNUSABLE = "key_unusable"
    KEY_MISMATCH = "key_mismatch"
    CHAIN_OUT_OF_ORDER = "chain_out_of_order"
    NO_CERTIFICATE = "no_certificate"
    BAD_CA_FILE = "bad_ca_file"
    BAD_DIGEST = "bad_digest"
    BAD_CIPHERS = "bad_ciphers"
    BAD_OPENSSL_CONFIG = "bad_openssl_config"
    BAD_LEVEL = "bad_level"
    NO_ENTROPY = "no_entropy"
    SNI_TABLE = "sni_table"
    TLS_DISABLED = "tls_disabled"
    DH_TOO_SMALL = "dh_too_small"
    LMTP_GREETING_LOST = "lmtp_greeting_lost"
    DOVECOT_PROTOCOLS = "dovecot_protocols"
    DOVECOT_DH = "dovecot_dh"
    DOVECOT_CIPHERS = "dovecot_ciphers"
    DOVECOT_CERTIFICATE = "dovecot_certificate"
    DOVECOT_TLS = "dovecot_tls"
    DOVECOT_FATAL = "dovecot_fatal"
    MANY_BEGAN_TO_FAIL = "many_began_to_fail"
    EVERYBODY_NO_SHARED_CIPHER = "everybody_no_shared_cipher"
    ECDSA_ONLY_CERTIFICATE = "ecdsa_only_certificate"
    TLS_RATE_LIMIT = "tls_rate_limit"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that the server said against itself. `detail`: sentences: what was seen, and what to do."""

    finding: Finding
    detail: str


OFF = "so it offers STARTTLS and then answers 454 to every client"
_RELOAD = "then run `postfix reload`, and try `openssl s_client -starttls smtp -connect localhost:25`"
_DOVECOT_TRY = "then run `doveconf -n` and `doveadm reload`, and try `openssl s_client -connect localhost:993`"


def _protocol_list(message: str) -> str:
    text = _between(message, 'protocol list "', '": ') or ""
    new, old = rewritten(text)
    return (
        f'Postfix does not accept its protocol list "{text}", {OFF}: {_mistake(text)}. '
        f"Write `smtpd_tls_protocols = {new}` (Postfix 3.6 and later) or `smtpd_tls_protocols = {old}` (any version); "
        "where TLS is mandatory, as on port 465, the parameter is `smtpd_tls_mandatory_protocols`. "
        f"`postfix check` does not notice this mistake; {_RELOAD}."
    )


def _mistake(text: str) -> str:
    """Say what is wrong with a protocol list, as half a sentence."""
    wrong = [word for word in read_words(text) if word.is_wrong]
    if wrong:
        return ", ".join(_misspelling(word) for word in wrong[:4])
    stray = stray_characters(text)
    if stray:
        return f"`{stray[0]}` separates nothing, a comma does"
    needed = newest_needed(text)
    if needed:
        return f"every word of it is right for a current Postfix, so this one is too old for them: {needed}"
    return f"names are {', '.join(VERSIONS)}"


def _misspelling(word: Word) -> str:
    if word.right is None:
        return f"`{word.seen}` is no protocol (names are {', '.join(VERSIONS)})"
    return f"`{word.seen}` is written `{word.right}`"


def _certificate(message: str) -> str:
    return (
        f"Postfix cannot use its certificate {_file(message)}{_because(message)}, {OFF}, even if it has another good "
        "certificate. Name an existing PEM file, the server's certificate first, in `smtpd_tls_chain_files` "
        f"(Postfix 3.4 and later) or `smtpd_tls_cert_file`; {_RELOAD}."
    )


def _key(message: str) -> str:
    return (
        f"Postfix cannot use its private key {_file(message)}{_because(message)}, {OFF}. Name an existing PEM file "
        "without a pass phrase in `smtpd_tls_key_file`, or key and certificate in one file in `smtpd_tls_chain_files` "
        f"(Postfix 3.4 and later); {_RELOAD}."
    )


def _mismatch(message: str) -> str:
    return (
        f"The private key {_file(message)} does not belong to the certificate of Postfix, {OFF}. Compare "
        "`openssl x509 -noout -pubkey -in CERTIFICATE` with `openssl pkey -pubout -in KEY`, name a pair that agrees in "
        "`smtpd_tls_cert_file` and `smtpd_tls_key_file`, or better one file with both in `smtpd_tls_chain_files`; "
        f"{_RELOAD}."
    )


def _chain(message: str) -> str:
    return (
        f"Postfix cannot load the chain {_file(message)}{_because(message)}, {OFF}. In the files of "
        "`smtpd_tls_chain_files` every private key stands directly before its certificate, and the issuers' "
        f"certificates behind it: `cat key.pem cert.pem intermediate.pem > chain.pem`; {_RELOAD}."
    )


def _chain_file(message: str) -> str:
    return (
        f"Postfix cannot open the file {_file(message)}{_because(message)} of `smtpd_tls_chain_files`, so that "
        "handshakes find no certificate and fail with `no shared cipher`, or STARTTLS is answered with 454. Name "
        f"existing PEM files, each private key before its certificate; {_RELOAD}."
    )


def _ca_file(message: str) -> str:
    name = _between(message, 'CAfile="', '"') or "(the line names no file)"
    return (
        f"Postfix cannot load the file of authorities {name}, {OFF}. Repair or remove `smtpd_tls_CAfile`, which is "
        f"needed only to verify clients; {_RELOAD}."
    )


def _digest(message: str) -> str:
    name = _between(message, 'Digest algorithm "', '"') or ""
    return f'This OpenSSL has no digest "{name}", {OFF}. Write `smtpd_tls_fingerprint_digest = sha256`; {_RELOAD}.'


def _ciphers(message: str) -> str:
    grade = _between(message, 'grade: "', '"') or ""
    return (
        f'Postfix cannot follow its cipher setting "{grade}" and hangs up on every client that starts TLS. '
        "Write `smtpd_tls_ciphers = medium` and `smtpd_tls_mandatory_ciphers = medium`, and remove "
        f"`tls_medium_cipherlist` and `tls_high_cipherlist` from main.cf; {_RELOAD}."
    )


def _dovecot_protocols(message: str) -> str:
    word = _between(message, "rotocol '", "'") or _between(message, "setting '", "'") or "in the setting"
    return (
        f"Dovecot does not know the protocol {word} in its TLS settings, so that its login processes, and with some "
        f"versions the LMTP service, do not start. {dovecot_protocol_remedy()}"
    )


def dovecot_protocol_remedy() -> str:
    """Say how Dovecot's protocols are set, in every version."""
    return (
        "Replace `ssl_protocols` by `ssl_min_protocol = TLSv1.2` (Dovecot 2.3 and later), or take the name out of it: "
        f"`ssl_protocols = !SSLv3` (Dovecot 2.2 and earlier); {_DOVECOT_TRY}."
    )


_DOVECOT_CERTIFICATE = (
    "Dovecot cannot use its certificate or private key, so that every TLS login fails. Check that the files behind "
    "`ssl_cert = <FILE` and `ssl_key = <FILE` (`ssl_server_cert_file` and `ssl_server_key_file` in 2.4) exist and "
    f"belong together; {_DOVECOT_TRY}."
)
_SNI = (
    "Postfix cannot use its table of certificates by name and refuses clients that ask for one of them. Correct the "
    f"files that `tls_server_sni_maps` names and rebuild it with `postmap -F`; {_RELOAD}."
)
_RATE_LIMIT = (
    "Postfix refuses TLS to clients that start it too often; failed handshakes count too. Raise "
    "`smtpd_client_new_tls_session_rate_limit`, or list trusted clients in `smtpd_client_event_limit_exceptions`."
)
# A row: what the message contains, what that proves, and its sentence or the function that makes it.
COMPLAINTS: tuple[tuple[str, Finding, str | Callable[[str], str]], ...] = (
    ("invalid tls protocol list", Finding.INVALID_PROTOCOL_LIST, _protocol_list),
    ("can't load ssl certificate", Finding.DOVECOT_CERTIFICATE, _DOVECOT_CERTIFICATE),
    ("can't load private", Finding.DOVECOT_CERTIFICATE, _DOVECOT_CERTIFICATE),
    ("key values mismatch", Finding.KEY_MISMATCH, _mismatch),
    ("does not match next certificate", Finding.KEY_MISMATCH, _mismatch),
    ("does not match the certificate", Finding.KEY_MISMATCH, _mismatch),
    ("aborting tls handshake", Finding.SNI_TABLE, _SNI),
    ("map lookup problem", Finding.SNI_TABLE, _SNI),
    ("error opening chain file", Finding.CERTIFICATE_UNUSABLE, _chain_file),
    ("private key from file", Finding.KEY_UNUSABLE, _key),
    ("certificate from file", Finding.CERTIFICATE_UNUSABLE, _certificate),
    ("key not first", Finding.CHAIN_OUT_OF_ORDER, _chain),
    ("not followed by a certificate", Finding.CHAIN_OUT_OF_ORDER, _chain),
    ("error loading private keys and certificates", Finding.CHAIN_OUT_OF_ORDER, _chain),
    ("cannot load certification authority data", Finding.BAD_CA_FILE, _ca_file),
    ("digest algorithm", Finding.BAD_DIGEST, _digest),
    ("invalid cipher grade", Finding.BAD_CIPHERS, _ciphers),
    ("error setting cipher grade", Finding.BAD_CIPHERS, _ciphers),
    (
        "no server certs available",
        Finding.NO_CERTIFICATE,
        f"Postfix has no certificate, {OFF}. Name one in `smtpd_tls_chain_files` (Postfix 3.4 and later) or in "
        f"`smtpd_tls_cert_file` and `smtpd_tls_key_file`; {_RELOAD}.",
    ),
    (
        "openssl configuration file",
        Finding.BAD_OPENSSL_CONFIG,
        f"Postfix cannot read the OpenSSL configuration that it is told to use, {OFF}. Correct `tls_config_file`, or "
        f"write `tls_config_file = default`; {_RELOAD}.",
    ),
    (
        "invalid tls level",
        Finding.BAD_LEVEL,
        "Postfix does not know its TLS level, so that no smtpd process starts and every client waits in vain. Write "
        f"`smtpd_tls_security_level = may`; {_RELOAD}.",
    ),
    (
        "no entropy",
        Finding.NO_ENTROPY,
        f"Postfix gets no random numbers, {OFF}. Check that tlsmgr is in master.cf and running, and that "
        f"`tls_random_source = dev:/dev/urandom` can be read; {_RELOAD}.",
    ),
    (
        "no protocols available",
        Finding.NO_PROTOCOLS,
        "The protocol list of Postfix is valid but leaves no version, so that every handshake fails. Write "
        "`smtpd_tls_protocols = >=TLSv1` (Postfix 3.6 and later) or `smtpd_tls_protocols = !SSLv2, !SSLv3` (any "
        f"version), and the same in `smtpd_tls_mandatory_protocols`; {_RELOAD}.",
    ),
    ("ssl_protocols", Finding.DOVECOT_PROTOCOLS, _dovecot_protocols),
    ("ssl_min_protocol", Finding.DOVECOT_PROTOCOLS, _dovecot_protocols),
    (
        "dh parameters",
        Finding.DOVECOT_DH,
        "Dovecot cannot use its DH parameters, so that every TLS login fails. Make new ones with "
        "`openssl dhparam -out /etc/dovecot/dh.pem 2048` and write `ssl_dh = </etc/dovecot/dh.pem` (Dovecot 2.3) or "
        f"`ssl_server_dh_file = /etc/dovecot/dh.pem` (2.4); {_DOVECOT_TRY}.",
    ),
    (
        "dh key too small",
        Finding.DH_TOO_SMALL,
        "The server's own DH parameters are too small for its OpenSSL, so that handshakes with them fail. Remove "
        "`smtpd_tls_dh1024_param_file` from main.cf (Postfix 3.1 and later then use 2048 bits of their own), "
        f"or make a file with `openssl dhparam -out dh2048.pem 2048`; {_RELOAD}.",
    ),
    (
        "cipher list to",
        Finding.DOVECOT_CIPHERS,
        "Dovecot cannot follow its list of ciphers, so that every TLS login fails. Remove `ssl_cipher_list` or "
        f"`ssl_curve_list` from its configuration, whose defaults are good; {_DOVECOT_TRY}.",
    ),
    (
        "ssl server context",
        Finding.DOVECOT_TLS,
        "Dovecot cannot set up TLS at all, so that every TLS login fails. Its line says why: correct that setting; "
        f"{_DOVECOT_TRY}.",
    ),
    (
        "tls initialization failed",
        Finding.DOVECOT_TLS,
        "Dovecot cannot set up TLS, so that every TLS login fails. The line before it says why, or "
        f"`doveadm log errors`; {_DOVECOT_TRY}.",
    ),
    ("tls session rate limit exceeded", Finding.TLS_RATE_LIMIT, _RATE_LIMIT),
    ("too many new tls sessions", Finding.TLS_RATE_LIMIT, _RATE_LIMIT),
    (
        "disabling tls support",
        Finding.TLS_DISABLED,
        f"Postfix has switched TLS off, {OFF}. The lines around it say why, and `postfix check` does not: read them "
        f"with `grep -B3 -A3 'disabling TLS support' LOG`, correct the setting, {_RELOAD}.",
    ),
    (
        "tls context initialization failed",
        Finding.TLS_DISABLED,
        "Postfix could not set up TLS and drops every client of port 465. The lines around it say why: read them with "
        f"`grep -B3 'TLS context initialization failed' LOG`, correct the setting, {_RELOAD}.",
    ),
)


def read_complaint(message: str) -> Complaint | None:
    """Classify what a server said of itself; None where it is no complaint that the table knows."""
    lower = message.lower()
    for part, finding, sentence in COMPLAINTS:
        if part in lower:
            return Complaint(finding, sentence if isinstance(sentence, str) else sentence(message))
    return None


def _between(text: str, before: str, after: str) -> str | None:
    _, found, rest = text.partition(before)
    inner, closed, _ = rest.partition(after)
    return printable(inner, 200) if found and closed else None


def _file(message: str) -> str:
    """Cut out the file that a message names: in quotes since Postfix 2.9, or up to the next colon."""
    for before in (' from file "', " from file ", "chain file: ", "loading chain from ", "certificates from: "):
        found = before in message
        rest = message.partition(before)[2].split("\n", 1)[0]
        name = rest.partition('"' if before.endswith('"') else ": ")[0]
        if found and name:
            return printable(name, 200)
    return "(the line names no file)"


def _because(message: str) -> str:
    """Give OpenSSL's reason for a file that cannot be used, in brackets."""
    for sign, meaning in _FILE_REASONS:
        if sign in message:
            return f" ({meaning})"
    return ""


_FILE_REASONS = (
    ("No such file or directory", "there is no such file"),
    ("Permission denied", "no permission to read it"),
    ("key not first", "the key does not stand first"),
    ("not followed by a certificate", "no certificate follows its key"),
    ("No certs for key", "no certificate follows its key"),
    ("No private key found", "it holds no private key"),
    ("No PEM data", "it holds no PEM data"),
    ("no start line", "it holds no PEM data of that kind"),
    ("bad decrypt", "it is encrypted"),
)
