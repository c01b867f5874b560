"""What a service of the running Postfix offers in a handshake, as `core.handshake` wants to know it.

Read from the values that count for it, the certificates that it shows, and what the OpenSSL of this machine makes of
its list of ciphers. Nothing is changed; root reads certificates that others may not.

BUGS: openssl(1) is taken to be of the library that Postfix has. What openssl.cnf and tls_ssl_options change is not
looked at: where they count, a handshake differs from what was predicted, and that is what the comparison is for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailtls.core import offeredgroups, offering
from mailtls.core.certificatekey import server_key_of
from mailtls.core.doorcertificate import CERTIFICATE_FILES, chains_of
from mailtls.core.doorspan import is_door
from mailtls.core.mastercf import MasterCf, Service, parse_master_cf
from mailtls.core.pem import LARGEST, parse_pem, server_certificates
from mailtls.core.serverprofile import ServerKey, ServerProfile
from mailtls.core.setupplan import mx_services, servers
from mailtls.core.tlsversion import numbers_of
from mailtls.edge.helloasker import Entrance
from mailtls.edge.listening import Listening, loopback
from mailtls.edge.openssl import PATIENCE_S
from mailtls.edge.opensslciphers import ciphers_of
from mailtls.edge.postconf import PATH, Postconf
from mailtls.errors import ConfigError, PostfixError

PREEMPT = "tls_preempt_cipherlist"
PROXIED = "smtpd_upstream_proxy_protocol"
_PLACES = ("inet_interfaces", "inet_protocols")
_ASKED = (*offering.ASKED, *offeredgroups.ASKED, *CERTIFICATE_FILES, PREEMPT, PROXIED, *_PLACES)
_VERSION = re.compile(r"OpenSSL (\d{1,3})\.(\d{1,3})\.")


@dataclass(frozen=True, slots=True)
class OfferingService:
    """One smtpd: where clients meet it, and what it offers."""

    entrance: Entrance
    profile: ServerProfile


def offering_services(configuration: Path, named: Iterable[str] = ()) -> tuple[OfferingService, ...]:
    """Find the services that are named, or those that take mail from outside and the doors beside them.

    Raises ConfigError, PostfixError.
    """
    path = configuration / "master.cf"
    try:
        master = parse_master_cf(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}; is Postfix installed?") from error
    postconf, wanted = Postconf(configuration), tuple(named)
    openssl = _openssl_version()
    found = _services(master, wanted, lambda screen: _behind(postconf, screen))
    return tuple(_service(postconf, listens, serving, openssl) for listens, serving in found)


def _services(
    master: MasterCf, named: tuple[str, ...], behind: Callable[[Service], str]
) -> Iterator[tuple[Service, Service]]:
    try:
        yield from servers(mx_services(master, named), master, behind)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not named:
        yield from ((each, each) for each in master.effective if is_door(each))


def _behind(postconf: Postconf, screen: Service) -> str:
    return postconf.values("smtpd_service_name", overrides=screen.overrides)["smtpd_service_name"]


def _service(postconf: Postconf, listens: Service, serving: Service, openssl: tuple[int, int]) -> OfferingService:
    overrides = {name: value for name, value in serving.overrides.items() if "\n" not in value}
    values = postconf.values(*_ASKED, overrides=overrides)
    if values.get(PROXIED):
        raise ConfigError(f"service {listens.key} stands behind a proxy, and clients cannot greet it from here")
    addresses = [loopback(address) for address in Listening(values).addresses(listens.name)]
    if not addresses:
        raise ConfigError(f"service {listens.key} has no address that could be asked; see inet_interfaces")
    # An address of IPv4 loopback where there is one: nobody asks the DNS who that is.
    host, port = min(addresses, key=lambda each: (not each[0].startswith("127."), ":" in each[0]))
    entrance = Entrance(listens.name, host, port, values.get(offering.WRAPPERMODE) == "yes")
    return OfferingService(entrance, profile_of(values, openssl))


def profile_of(values: Mapping[str, str], openssl: tuple[int, int]) -> ServerProfile:
    """Say what a service with these values offers. Raises ConfigError, PostfixError."""
    keys = tuple(key for path in chains_of(values) for key in _keys(path))
    cipher_list = offering.cipher_list_of(values)
    versions = numbers_of(offering.versions_of(values))
    if not versions or not cipher_list:
        raise ConfigError("TLS is off there, or broken; mailtlsctl reload --keep says what is wrong")
    return ServerProfile(
        versions, ciphers_of(cipher_list), keys, offeredgroups.groups_of(values, openssl),
        values.get(PREEMPT) == "yes", openssl=openssl,
    )  # fmt: skip


def _keys(path: str) -> Iterator[ServerKey]:
    """Read the keys of the certificates that a file begins with, and of those behind further keys."""
    try:
        with Path(path).open("rb") as file:
            blocks = parse_pem(file.read(LARGEST).decode("ascii", "replace"))
    except PermissionError as error:
        raise PostfixError(f"{path}: this user may not read the certificate; run it as root") from error
    except OSError as error:
        raise PostfixError(f"{path}: {(error.strerror or str(error)).lower()}; smtpd cannot show it either") from error
    found = (server_key_of(block.content) for block in server_certificates(blocks))
    return (key for key in found if key is not None)


def _openssl_version() -> tuple[int, int]:
    try:
        said = subprocess.run(
            ["openssl", "version"],  # noqa: S607 - found in PATH below
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={"PATH": PATH},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostfixError("openssl cannot be run; first: apt-get install openssl") from error
    version = _VERSION.match(said.stdout)
    if version is None:
        raise PostfixError(f"openssl version says {said.stdout[:60]!r}, and no version of OpenSSL is in that")
    return int(version[1]), int(version[2])
