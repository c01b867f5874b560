"""Dovecot's TLS settings, examined, of 2.3 and 2.4: names of versions, ciphers, curves, certificates, the LMTP socket.

`doveconf` takes nearly every bad value without a word, and every TLS login then fails (facts 10.3). What a setting may
be: src/lib-ssl-iostream/iostream-openssl-common.c (2.3.21, 2.4.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailtls.core.doctorfinding import Area, DoctorFinding
from mailtls.core.printable import printable

RELOAD = "doveconf -n >/dev/null && doveadm reload"
CERTIFICATES_2_3 = (("ssl_cert", "ssl_key"), ("ssl_alt_cert", "ssl_alt_key"))
CERTIFICATES_2_4 = (
    ("ssl_server_cert_file", "ssl_server_key_file"),
    ("ssl_server_alt_cert_file", "ssl_server_alt_key_file"),
)
MINIMUM = "ssl_min_protocol"
CIPHERS, CURVES = "ssl_cipher_list", "ssl_curve_list"
MINIMA = ("ANY", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "LATEST")
NO_PROTOCOLS = frozenset({"lmtp", "sieve", "none"})
"""Protocols where nobody logs in by TLS from outside, or little."""
_GATHERED = frozenset({"ssl", "ssl_server"})
_SETTING = re.compile(r"^(?P<name>[a-z0-9_]{1,80}) =(?: (?P<value>.*))?$")
_OPENS = re.compile(r"^(?P<block>[^{}=#]{1,300}) \{$")
_OBSOLETE = re.compile(r"Obsolete setting in (?P<where>.+?): (?P<name>ssl_protocols)\b")
_GUESSED = re.compile(r"ssl_protocols = (?P<value>[^:]+): (?P<why>.+)")
_FATAL = re.compile(r"(?:doveconf: )?Fatal: (?P<words>.+)")
_PERMISSION = re.compile(r"[Pp]ermission denied")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, and the block that it stands in: `` for the top, else such as `protocol imap`, `local_name x`."""

    block: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DovecotFacts:
    """What doveconf printed, and what else is known. `place`: its file.

    `fatal`: what it says when it reads every file that a setting names; `warnings`: what else it says.
    `bad_ciphers`, `bad_curves`: values that this OpenSSL makes nothing of.
    """

    place: str
    version: tuple[int, ...]
    settings: tuple[Setting, ...]
    fatal: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    bad_ciphers: frozenset[str] = frozenset()
    bad_curves: frozenset[str] = frozenset()

    def value(self, name: str, default: str = "") -> str:
        """Give a setting of the top."""
        return next((each.value for each in self.settings if not each.block and each.name == name), default)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Name the settings that hold certificate and key in this version."""
        return CERTIFICATES_2_4 if self.version >= (2, 4) else CERTIFICATES_2_3


def parse_doveconf(text: str) -> tuple[Setting, ...]:
    """Read what `doveconf -n` prints.

    2.4 gathers settings by their first words: `ssl_server { cert_file = x }` is `ssl_server_cert_file = x`, and a list
    is a block of names with `yes`.
    """
    found: list[Setting] = []
    blocks: list[str] = []
    for line in text.splitlines():
        words = line.strip()
        if opens := _OPENS.match(words):
            blocks.append(opens["block"])
        elif words == "}" and blocks:
            blocks.pop()
        elif setting := _SETTING.match(words):
            found.append(_placed(blocks, setting["name"], (setting["value"] or "").strip()))
    listed = " ".join(each.name for each in found if each.block == "protocols" and each.value == "yes")
    return (*found, Setting("", "protocols", listed)) if listed else tuple(found)


def _placed(blocks: list[str], name: str, value: str) -> Setting:
    if blocks and blocks[-1] in _GATHERED:
        return Setting(" / ".join(blocks[:-1]), f"{blocks[-1]}_{name}", value)
    return Setting(" / ".join(blocks), name, value)


def dovecot_findings(facts: DovecotFacts) -> Iterator[DoctorFinding]:
    """Examine the settings; certificates are examined as everybody's (`doctoridentity`)."""
    yield from _words(facts)
    for setting in facts.settings:
        yield from _setting(facts, setting)
    if facts.value("ssl", "yes") == "no" and set(facts.value("protocols", "imap").split()) - NO_PROTOCOLS:
        said = f"Dovecot serves {printable(facts.value('protocols', 'imap'), 100)} with ssl = no."
        yield DoctorFinding("dovecot_ssl_off", (facts.place,), said, "ssl = yes", RELOAD)


def _words(facts: DovecotFacts) -> Iterator[DoctorFinding]:
    fatal = [word for word in facts.fatal if not _PERMISSION.search(word)]
    if fatal:
        found = _FATAL.search(fatal[0])
        said = f"Dovecot refuses it: {printable(found['words'] if found else fatal[0], 300)}."
        evidence = tuple(printable(word, 300) for word in fatal)
        yield DoctorFinding("dovecot_config_broken", (facts.place,), said, "", "doveconf -nx >/dev/null", evidence)
    obsolete = next((found for word in facts.warnings if (found := _OBSOLETE.search(word))), None)
    if obsolete is None:
        return
    guessed = next((found for word in facts.warnings if (found := _GUESSED.search(word))), None)
    said = f"{obsolete['name']} is a name of Dovecot 2.2."
    if guessed is not None:
        said = f"{obsolete['name']} = {printable(guessed['value'], 100)}: {printable(guessed['why'], 150)}."
    evidence = tuple(printable(word, 300) for word in facts.warnings if "ssl_protocols" in word)
    where = (printable(obsolete["where"], 200),)
    yield DoctorFinding("dovecot_protocols_obsolete", where, said, f"{MINIMUM} = TLSv1.2", RELOAD, evidence)


def _setting(facts: DovecotFacts, setting: Setting) -> Iterator[DoctorFinding]:
    where = (f"{facts.place}, {printable(setting.block, 100)}" if setting.block else facts.place,)
    shown = printable(setting.value, 150)
    if setting.name == MINIMUM and setting.value not in MINIMA:
        said = f"{MINIMUM} = {shown}: Dovecot knows {', '.join(MINIMA)}."
        yield DoctorFinding("dovecot_protocols_invalid", where, said, f"{MINIMUM} = TLSv1.2", RELOAD)
    elif setting.name == CIPHERS and setting.value in facts.bad_ciphers:
        said = f"{CIPHERS} = {shown}: this OpenSSL makes nothing of it."
        yield DoctorFinding("dovecot_ciphers_invalid", where, said, f"{CIPHERS} =", RELOAD)
    elif setting.name == CURVES and setting.value in facts.bad_curves:
        said = f"{CURVES} = {shown}: this OpenSSL does not know one of them."
        yield DoctorFinding("dovecot_curves_invalid", where, said, f"{CURVES} =", RELOAD)


def certificate_settings(facts: DovecotFacts) -> Iterator[tuple[str, str, str, str, str]]:
    """Give every pair that is named: block, the settings' names, and the two files."""
    mark = "" if facts.version >= (2, 4) else "<"
    for block in dict.fromkeys(each.block for each in facts.settings):
        inside = {each.name: each.value for each in facts.settings if each.block == block}
        for certificate, key in facts.pairs:
            named = inside.get(certificate, "")
            if named.startswith(mark) and named.removeprefix(mark).strip():
                file = inside.get(key, facts.value(key)).removeprefix(mark).strip()
                yield block, certificate, key, named.removeprefix(mark).strip(), file


def lmtp_sockets(settings: Iterable[Setting]) -> tuple[str, ...]:
    """Name the sockets that Dovecot's LMTP service is told to open besides its own."""
    blocks = dict.fromkeys(each.block for each in settings)
    return tuple(
        words[-1]
        for block in blocks
        if block.startswith("service lmtp /") and (words := block.split()) and words[-2] == "unix_listener"
    )


def postfix_sockets(values: Mapping[str, str], queue: str) -> tuple[tuple[str, str], ...]:
    """Name the parameters of Postfix that hand mail to a socket by LMTP, with its path."""
    found = []
    for name, value in values.items():
        kind, _, rest = value.partition(":")
        if kind.strip() == "lmtp" and rest.startswith("unix:"):
            path = rest.removeprefix("unix:").strip()
            found.append((name, path if path.startswith("/") else f"{queue}/{path}"))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LmtpFacts:
    """A socket that Postfix is told of. `exists`: None where this user may not look. `opened`: by Dovecot, as it says.

    `dovecot`: Dovecot's configuration is known.
    """

    parameter: str
    path: str
    exists: bool | None
    opened: bool
    dovecot: bool


def lmtp_findings(facts: LmtpFacts, where: str) -> Iterator[DoctorFinding]:
    """Judge a socket."""
    shown = printable(facts.path, 200)
    said = f"{facts.parameter} hands mail to {shown}"
    if facts.dovecot and not facts.opened:
        setting = f"service lmtp {{\n  unix_listener {shown} {{\n    mode = 0600\n    user = postfix\n  }}\n}}"
        if facts.exists is not True:
            said += ", which Dovecot is not told to open."
            yield DoctorFinding("dovecot_lmtp_missing", (where,), said, setting, RELOAD, area=Area.DOVECOT)
    elif facts.exists is False:
        said += ", and there is no such socket; does its owner run?"
        command = "systemctl status dovecot" if facts.opened else f"ls -l {shown}"
        yield DoctorFinding("lmtp_socket_missing", (where,), said, "", command)
