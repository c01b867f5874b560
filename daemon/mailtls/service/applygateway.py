"""The sslv3 door, as far as `setup` makes it: whether there can be one, its key, and who starts the gateway.

It differs from every strict door, since no OpenSSL of Debian 12 or later takes what it takes. So it is made wherever
this machine can serve it: NSS is there and speaks SSLv3, and somebody starts mailtls-gateway, systemd or whoever wrote
where it listens into mailtls.toml. A site may serve the port itself (`sslv3_served_by = "site"` in [doors]); then the
keeper leads its peers there, and entry, key and program are the site's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mailtls.core.doorentry import BACKEND, Origin
from mailtls.core.gatewayrule import CIPHERS, GatewaySettings
from mailtls.core.level import Level
from mailtls.core.pem import parse_pem
from mailtls.core.postfixview import Doorway, Offering
from mailtls.core.serviceconduct import level_of
from mailtls.core.suite import KeyType
from mailtls.edge.gatewayunits import GatewayUnits
from mailtls.edge.ledger import sync_directory
from mailtls.edge.nss import capability
from mailtls.edge.openssl import make_self_signed
from mailtls.edge.postconf import Postconf
from mailtls.errors import MailtlsError, PostfixError

KEY, CERTIFICATE = "sslv3.key.der", "sslv3.certificate.der"
DAYS = 3650
ENTRY = f"{BACKEND}/unix"
OFFERS = Offering(versions=("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"), certificates=(KeyType.RSA,), ciphers=CIPHERS)
COST = (
    "What comes through the sslv3 door is encrypted with what can be broken (SSLv3, RC4, 3DES): only a person or an "
    "entry of known-legacy.toml lets a peer in there."
)


@dataclass(frozen=True, slots=True)
class GatewayMeans:
    """What the machine has for it. `units` None: systemd is not asked; `why_no_tls`: what NSS cannot, None: it can."""

    settings: GatewaySettings = field(default_factory=GatewaySettings)
    units: GatewayUnits | None = None
    by_the_site: bool = False
    why_no_tls: Callable[[], str | None] = capability

    def why_none(self, origins: tuple[Origin, ...]) -> str | None:
        """Say in a clause why there can be no sslv3 door; None where there can."""
        if self.by_the_site:
            return None
        if (why := self.why_no_tls()) is not None:
            return why
        if not self.settings.listen and (why := _nobody_starts(self.units)) is not None:
            return why
        if level_of(origins[0].values) == "encrypt" and not self.settings.demand_tls:
            return (
                "the port-25 service demands TLS, and the gateway would take mail without; first set demand_tls = true "
                "in [gateway] of mailtls.toml"
            )
        if len({_conduct(origin) for origin in origins}) > 1:
            services = " and ".join(origin.listens for origin in origins)
            return f"services {services} have different options, and the gateway leads to one; make them alike first"
        return None

    # --- bringing it up and down -------------------------------------------------------------------------------

    def make_key(self, own: Path, names: tuple[str, ...]) -> bool:
        """Make the gateway's own key and certificate where one is missing; tell whether. Raises PostfixError."""
        if self.by_the_site or all((own / each).is_file() for each in (KEY, CERTIFICATE)):
            return False
        _make_key(own, names)
        return True

    def settle(self, port: int | None, postconf: Postconf, *, renewed: bool) -> tuple[str, ...]:
        """Start the gateway where it has a door, else stop it; what goes wrong is a note: Postfix is as it should be.

        `port`: the door's, None: there is none. Raises PostfixError where the queue directory cannot be asked for.
        """
        if port is None:
            said = self.take_down()
        else:
            said = self.bring_up(port, Path(postconf.values("queue_directory")["queue_directory"]), renewed=renewed)
        return (said,) if said is not None else ()

    def bring_up(self, port: int, queue: Path, *, renewed: bool) -> str | None:
        """Let systemd start the gateway; give a sentence where it cannot."""
        if self.units is None or self.by_the_site or self.units.why_not() is not None:
            return None
        try:
            self.units.bring_up(port, queue / "public" / BACKEND)
            if renewed:
                self.units.renew()
        except MailtlsError as error:
            return f"The gateway is not started, and its door stays closed: {error}."
        return None

    def take_down(self) -> str | None:
        """Stop it; give a sentence where that fails."""
        try:
            if self.units is not None:
                self.units.take_down()
        except MailtlsError as error:
            return f"The gateway is not stopped: {error}."
        return None


def _nobody_starts(units: GatewayUnits | None) -> str | None:
    why = units.why_not() if units is not None else "systemd starts no gateway of an instance under another root"
    if why is None:
        return None
    return f"{why}; start it yourself, and set listen in [gateway] of mailtls.toml"


def _conduct(origin: Origin) -> tuple[object, ...]:
    return origin.service.fields[3:], origin.service.argv


def doorway(port: int, addresses: tuple[str, ...], *, by_the_site: bool) -> Doorway:
    """Say what keeper and mailtlsd are told of the door."""
    return Doorway(
        level=Level.SSLV3, port=port, addresses=addresses, entry="" if by_the_site else ENTRY, offers=OFFERS,
    )  # fmt: skip


def _make_key(own: Path, names: tuple[str, ...]) -> None:
    """Make both as PEM, as OpenSSL does, and keep them as DER, as NSS reads them; for root only."""
    pems = own / "sslv3.key.new", own / "sslv3.certificate.new"
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            make_self_signed(str(pems[0]), str(pems[1]), names, DAYS)
            for pem, name in zip(pems, (KEY, CERTIFICATE), strict=True):
                (block,) = parse_pem(pem.read_text("ascii"))
                pem.write_bytes(block.content)
                pem.replace(own / name)
        finally:
            os.umask(before)
            for pem in pems:
                pem.unlink(missing_ok=True)
        sync_directory(own)
    except OSError as error:
        why = (error.strerror or "it cannot be written").lower()
        raise PostfixError(f"{error.filename or own}: {why}") from error


def remove_key(own: Path) -> None:
    """Remove key and certificate; nothing where there are none."""
    for name in (KEY, CERTIFICATE):
        (own / name).unlink(missing_ok=True)
