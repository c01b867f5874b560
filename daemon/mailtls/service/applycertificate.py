"""Which RSA certificate a door shows beside the site's ECDSA one: a publicly trusted one, or, if asked for, our own.

A trusted one beside the ECDSA certificate of the port-25 service itself is always the better answer, and is advised
first. One that is signed by itself helps senders that do not look at it, which on port 25 are most; whoever checks DANE
or MTA-STS is not helped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailtls.core.doorcertificate import DoorCertificate
from mailtls.edge.certificatesearch import search
from mailtls.edge.ledger import sync_directory
from mailtls.edge.openssl import make_self_signed
from mailtls.edge.senderpolicy import checks_of
from mailtls.errors import PostfixError

OWN_CERTIFICATE, OWN_KEY = "rsa.crt", "rsa.key"
OWN_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen; `missing`: it is still to be made."""

    certificate: DoorCertificate | None = None
    trusted: bool = False
    notes: tuple[str, ...] = ()
    missing: DoorCertificate | None = None


def choose(root: Path, own: Path, configured: tuple[str, ...], names: tuple[str, ...], *, self_signed: bool) -> Chosen:
    """Look for a certificate, the trusted first. Raises PostfixError."""
    found = search(root, configured, names, datetime.now(UTC))
    if found.best is not None:
        return Chosen(found.best, trusted=True, notes=(_better(found.best),))
    ours = DoorCertificate(str(own / OWN_CERTIFICATE), str(own / OWN_KEY))
    exists = Path(ours.certificate).is_file() and Path(ours.key).is_file()
    if not exists and not self_signed:
        return Chosen(notes=_none_found(names, found.refused))
    notes = (_warning(ours, names), *checks_of(names))
    return Chosen(ours, notes=notes, missing=None if exists else ours)


def _better(found: DoorCertificate) -> str:
    return (
        f"{found.certificate} is an RSA certificate that everybody trusts. The better answer than a door: let the "
        "port-25 service show it beside its ECDSA one (mailtlsctl edit main.cf, smtpd_tls_chain_files); then nobody "
        "needs legacy-rsa."
    )


def _command(names: tuple[str, ...]) -> str:
    return f"certbot certonly --standalone --key-type rsa --cert-name {names[0]}-rsa -d {names[0]}"


def _none_found(names: tuple[str, ...], refused: tuple[str, ...]) -> tuple[str, ...]:
    seen = f" Seen, and not taken: {'; '.join(refused)}." if refused else ""
    return (
        f"There is no RSA certificate for {names[0]} on this machine that everybody trusts.{seen} Get one, and run "
        f"mailtlsctl setup again: {_command(names)}",
        "Until then mailtlsctl setup --self-signed makes one that nobody trusts: it helps senders that do not look at "
        "it, which are most on port 25, and not those that check DANE or MTA-STS.",
    )


def _warning(ours: DoorCertificate, names: tuple[str, ...]) -> str:
    return (
        f"The doors show {ours.certificate}, which is signed by itself: senders that look at certificates do not take "
        f"it, and their waivers will be withdrawn again. Better: {_command(names)}"
    )


def make_own(missing: DoorCertificate, names: tuple[str, ...]) -> None:
    """Make the self-signed certificate, readable by root only. Raises PostfixError."""
    directory = Path(missing.key).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            make_self_signed(missing.key, missing.certificate, names, OWN_DAYS)
        finally:
            os.umask(before)
        sync_directory(directory)
    except OSError as error:
        why = (error.strerror or "it cannot be written").lower()
        raise PostfixError(f"{error.filename or directory}: {why}") from error


def remove_own(own: Path) -> None:
    """Remove it; nothing where there is none."""
    for name in (OWN_CERTIFICATE, OWN_KEY):
        (own / name).unlink(missing_ok=True)
    if own.is_dir() and not any(own.iterdir()):
        own.rmdir()
