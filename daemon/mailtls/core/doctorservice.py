"""One smtpd service of Postfix as the doctor sees it: what it is for, and the values that count for it.

A service takes mail from outside (port 25, also behind postscreen), is for people (587, 465), is a door of mailtls, or
is none of these: a reinjection port on the loopback, for example, where nobody's handshake matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailtls.core.doctorfinding import EDIT_MAIN, EDIT_MASTER
from mailtls.core.mastercf import Service
from mailtls.core.offering import is_enforced, is_off
from mailtls.core.suite import KeyType

DOOR_NAME = "mailtls-legacy"
_PROXY = "smtpd_upstream_proxy_protocol"
_LOOPBACK = ("127.", "[::1]", "::1", "localhost")
_OUTSIDE = frozenset({"25", "smtp"})
_PEOPLE = frozenset({"587", "465", "submission", "submissions", "smtps", "ssmtp"})


class Role(StrEnum):
    """What a service is for."""

    MX = "mx"
    PEOPLE = "people"
    DOOR = "door"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SmtpdService:
    """One service. `values`: `$name` followed. `own`: parameters that its entry sets.

    `ciphers`: what this OpenSSL makes of its list. `certificates`: the kinds that it can show, by what its files hold.
    """

    key: str
    role: Role
    directory: str
    values: Mapping[str, str]
    own: frozenset[str] = frozenset()
    ciphers: tuple[str, ...] = ()
    certificates: tuple[KeyType, ...] = ()

    @property
    def is_off(self) -> bool:
        """Tell whether it speaks no TLS."""
        return is_off(self.values)

    @property
    def is_enforced(self) -> bool:
        """Tell whether it takes nothing without TLS."""
        return is_enforced(self.values)

    @property
    def matters(self) -> bool:
        """Tell whether clients from outside come here."""
        return self.role in (Role.MX, Role.PEOPLE)

    @property
    def entry(self) -> str:
        """Name its entry in master.cf."""
        return f"{self.directory}/master.cf {self.key}"

    def place(self, parameter: str) -> str:
        """Say where a parameter of this service is set."""
        return self.entry if parameter in self.own else f"{self.directory}/main.cf (service {self.key})"

    def line(self, parameter: str, value: str) -> str:
        """Write a setting as it stands where this service takes it from."""
        if parameter not in self.own:
            return f"{parameter} = {value}"
        return f"-o {{ {parameter} = {value} }}" if any(c in value for c in " \t,") else f"-o {parameter}={value}"

    def command(self, parameter: str) -> str:
        """Name the command that edits it, safely."""
        return EDIT_MASTER if parameter in self.own else EDIT_MAIN


def role_of(service: Service, interfaces: str = "all") -> Role:
    """Say what an entry of master.cf is for, by its port and name; `interfaces`: inet_interfaces.

    What only this machine itself can reach is for nobody outside, unless a proxy stands there.
    """
    name = service.overrides.get("syslog_name", "")
    if DOOR_NAME in name:
        return Role.DOOR
    if service.kind == "pass":
        return Role.MX
    host, _, port = service.name.rpartition(":")
    alone = host.startswith(_LOOPBACK) or (not host and _is_loopback(interfaces))
    if alone and not service.overrides.get(_PROXY):
        return Role.OTHER
    if port in _OUTSIDE:
        return Role.MX
    return Role.PEOPLE if port in _PEOPLE else Role.OTHER


def _is_loopback(interfaces: str) -> bool:
    words = interfaces.replace(",", " ").split()
    return bool(words) and all(word == "loopback-only" or word.startswith(_LOOPBACK) for word in words)
