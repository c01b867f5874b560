"""What lies under the mail server: OpenSSL, its configuration, and fail2ban, which may ban whom TLS does not let in.

Postfix since 3.6 sets versions and security level itself, so that openssl.cnf does not bind it (facts 6.1); Dovecot and
Courier follow it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mailtls.core.doctorfinding import EVIDENCE_LINES, DoctorFinding
from mailtls.core.printable import printable

_SECTION = re.compile(r"^\s*\[\s*(\S{1,80})\s*\]")
_LIMIT = re.compile(
    r"^\s*(MinProtocol|MaxProtocol|CipherString|Ciphersuites|Groups|Curves)\s*=\s*(\S[^\n]{0,300})$", re.IGNORECASE
)
_HIGHER = re.compile(r"TLSv1\.[123]|@SECLEVEL=[2-5]|Ciphersuites|Groups|Curves|MaxProtocol", re.IGNORECASE)
BANNING_MODES = frozenset({"ddos", "aggressive"})
_MODE = re.compile(r"\[\s*mode\s*=\s*[\"']?(\w{1,20})")
_PEOPLE_OR_POSTFIX = ("postfix",)
IGNORED = "/etc/fail2ban/jail.d/mailtls.local"


@dataclass(frozen=True, slots=True)
class OpensslFacts:
    """`version` as OpenSSL prints it. `lacks`: what it is built without, of SSLv3, RC4 and 3DES."""

    version: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Jail:
    """One jail of fail2ban that is switched on. `filter`: as it is written; `mode`: the jail's own."""

    name: str
    filter: str
    mode: str
    place: str

    @property
    def bans_failures(self) -> bool:
        """Tell whether `lost connection after STARTTLS` counts against a peer (filter.d/postfix.conf, mode ddos)."""
        kind = self.filter.partition("[")[0].strip() or self.name
        written = _MODE.search(self.filter)
        return kind == "postfix" and (written.group(1) if written else self.mode) in BANNING_MODES


@dataclass(frozen=True, slots=True)
class Ban:
    """One address that a jail has banned, until when."""

    ip: str
    jail: str
    until: datetime | None


def openssl_findings(place: str, text: str, *, followers: Collection[str]) -> Iterator[DoctorFinding]:
    """Look for limits in openssl.cnf; nothing where none of the `followers` (programs that obey it) is here."""
    section, found = "", []
    for number, line in enumerate(text.splitlines(), 1):
        if opens := _SECTION.match(line):
            section = opens.group(1)
        elif (limit := _LIMIT.match(line)) and _HIGHER.search(line):
            found.append((number, section, f"{limit.group(1)} = {limit.group(2)}"))
    if not found or not followers:
        return
    said = "; ".join(f"{limit} in [{printable(section, 40)}]" for _, section, limit in found[:4])
    evidence = tuple(f"{place}:{number}: {printable(limit, 200)}" for number, _, limit in found)
    yield DoctorFinding(
        "openssl_limits", (place,), f"{printable(said, 300)}; it binds {', '.join(sorted(followers))}.", "",
        f"editor {place}", evidence[:EVIDENCE_LINES],
    )  # fmt: skip


def jail_findings(jails: Iterable[Jail]) -> Iterator[DoctorFinding]:
    """Name the jails that count failed handshakes."""
    for jail in jails:
        if jail.bans_failures:
            said = f"Jail {printable(jail.name, 60)} bans who loses the connection after STARTTLS ({_mode(jail)})."
            command = f"mailtlsctl export fail2ban > {IGNORED} && fail2ban-client reload"
            yield DoctorFinding("fail2ban_aggressive", (jail.place,), said, "mode = more", command)


def _mode(jail: Jail) -> str:
    return printable(jail.filter if "[" in jail.filter else f"mode = {jail.mode}", 80)


def ban_findings(bans: Iterable[Ban], failing: Collection[str]) -> Iterator[DoctorFinding]:
    """Name peers whose handshakes fail (`failing`: addresses from the log) and that are banned now."""
    hit = [ban for ban in bans if ban.ip in failing]
    if hit:
        said = f"Banned, although only their TLS fails: {', '.join(printable(ban.ip, 60) for ban in hit[:10])}."
        evidence = tuple(
            f"{ban.jail}: {ban.ip}" + (f" until {ban.until:%Y-%m-%d %H:%M}" if ban.until else "") for ban in hit
        )
        jails = {ban.jail: [each.ip for each in hit if each.jail == ban.jail][:10] for ban in hit}
        command = "; ".join(
            f"fail2ban-client set {printable(jail, 60)} unbanip {' '.join(banned)}" for jail, banned in jails.items()
        )
        yield DoctorFinding("fail2ban_banned", ("fail2ban",), said, "", command, evidence[:EVIDENCE_LINES])


def ignore_list(addresses: Iterable[str], jails: Iterable[str]) -> str:
    """Write what fail2ban reads: these addresses and networks are not banned, beside those that are ignored already."""
    listed = " ".join(addresses)
    names = tuple(jails) or _PEOPLE_OR_POSTFIX
    return "".join(f"[{name}]\nignoreip = %(known/ignoreip)s {listed}\n" for name in names) if listed else ""
