"""What is known of Postfix without reading its configuration: the section [postfix], and the file that `setup` writes.

`setup` reads main.cf and master.cf once, as root, and writes down what the keeper and mailtlsd need: what the port-25
service does by itself, what it offers, and which doors were made beside it. The file stands in place of the section.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mailtls.core.level import Level
from mailtls.core.rule import Table
from mailtls.core.suite import KeyType

DoorLevel = Literal[Level.LEGACY_RSA, Level.LEGACY, Level.SSLV3]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


class Offering(Table):
    """What a service offers in a handshake."""

    versions: tuple[str, ...] = ()
    """As Postfix names them (`protocollist.VERSIONS`), oldest first; none: TLS is off."""
    certificates: tuple[KeyType, ...] = ()
    """The kinds of its certificates."""
    ciphers: tuple[str, ...] = ()
    """OpenSSL's names of what it takes up to TLS 1.2, in its order (`openssl ciphers`)."""


class Doorway(Table):
    """One door as it stands in master.cf."""

    level: DoorLevel
    port: Port
    """Where it listens; port 25 of the peers it serves is sent here."""
    addresses: tuple[str, ...] = ()
    """The MX's own addresses for which port 25 is sent here; none: every address of this machine."""
    entry: str = ""
    """Its name in master.cf, such as `10225/inet`."""
    trusted: bool = False
    """Its certificate is signed by an authority that this system trusts."""
    offers: Offering = Offering()


class PostfixSettings(Table):
    """What the port-25 service of Postfix does by itself: the map's values are unions with it (docs/setup.md)."""

    config_directory: str = "/etc/postfix"
    """Under `root`; the tables lie in `mailtls/` below it."""
    table_type: Literal["lmdb", "hash"] = "lmdb"
    discard_keywords: tuple[str, ...] = ()
    """smtpd_discard_ehlo_keywords of the service: what it hides from everybody."""
    discard_maps: tuple[str, ...] = ()
    """The operator's own tables of smtpd_discard_ehlo_keyword_address_maps, `type:name`, in their order."""
    security_level: Literal["none", "may", "encrypt"] = "may"
    """smtpd_tls_security_level of the service; with `encrypt` no STARTTLS can be hidden."""
    own_networks: tuple[str, ...] = ()
    """mynetworks: whoever is there gets no door, which would take relaying from it."""
    strict: Offering | None = None
    """What the port-25 service offers; None: `setup` has not looked."""
    doors: tuple[Doorway, ...] = ()
    """The doors that were made."""
    policy_service: bool = False
    """Postfix asks mailtlsd about every message at DATA."""
    milter: bool = False
    """Postfix tells mailtls-milter of every message."""

    @property
    def limits_are_held(self) -> bool:
        """Tell whether anybody holds mail to the limits of waivers."""
        return self.policy_service or self.milter

    def door(self, level: Level) -> Doorway | None:
        """Give the door of this level."""
        return next((door for door in self.doors if door.level is level), None)
