"""A server's identity, examined: its certificate, the chain behind it, and the key, as the files hold them.

One pair for each certificate that a service is told of. What the files say is read in `edge/doctorfiles.py`; here it is
judged. Postfix and Dovecot alike: one bad pair, and there is no TLS at all (facts 3.3, 10.3); of an expired certificate
neither says a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from mailtls.core.doctorfinding import Area, DoctorFinding
from mailtls.core.printable import printable
from mailtls.core.suite import KeyType

SOON = timedelta(days=14)
SHORTEST_RSA = 2048


class FileState(StrEnum):
    """What came of reading a file."""

    READ = "read"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    BROKEN = "broken"
    ENCRYPTED = "encrypted"
    ABSENT = "absent"
    """No file is named."""


class Trust(StrEnum):
    """What the authorities of this system say of a certificate with its chain."""

    TRUSTED = "trusted"
    SELF_SIGNED = "self_signed"
    PRIVATE = "private"
    """The chain ends at a root that this system does not know."""
    NO_ISSUER = "no_issuer"
    """Who signed the last of the chain is not known."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """What stands in one certificate. `subject`, `issuer`: printable; `link`, `signer`: the same for comparing.

    `kind`: None: neither RSA nor ECDSA. `names`: DNS names in small letters.
    """

    subject: str
    issuer: str
    link: str
    signer: str
    kind: KeyType | None
    bits: int
    names: tuple[str, ...]
    starts: datetime
    ends: datetime
    public_key: bytes = b""
    content: bytes = b""
    """The certificate itself, DER."""

    @property
    def is_self_signed(self) -> bool:
        """Tell whether it is its own issuer."""
        return self.link == self.signer


@dataclass(frozen=True, slots=True)
class Identity:
    """One certificate with its chain and its key. `key_public`: the key's public half, DER.

    `certificate_file` and `key_file` as they are configured; `parameter`, `key_parameter`: where. `words`: what OpenSSL
    or the system said of a file that is no good.
    """

    parameter: str
    certificate_file: str
    key_parameter: str
    key_file: str
    certificate_state: FileState
    key_state: FileState
    chain: tuple[CertificateRecord, ...] = ()
    key_public: bytes = b""
    trust: Trust = Trust.UNKNOWN
    words: str = ""
    key_mode: int = 0
    chain_fault: str = ""

    @property
    def leaf(self) -> CertificateRecord | None:
        """Give the server's own certificate."""
        return self.chain[0] if self.chain else None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose identity it is. `where`: places that name it. `hosts`: names that clients know the server by.

    `restart`: the command after the repair. `line`: how a setting is written there.
    """

    where: tuple[str, ...]
    hosts: tuple[str, ...]
    edit: str
    restart: str
    area: Area = Area.POSTFIX
    file_mark: str = ""
    """What stands before a file name in a setting: `<` in Dovecot 2.3."""

    def setting(self, parameter: str, file: str) -> str:
        """Write a setting that names a file."""
        return f"{parameter} = {self.file_mark}{file}"


def identity_findings(identity: Identity, holder: Holder, now: datetime) -> Iterator[DoctorFinding]:
    """Examine one identity; the files first, since of one that cannot be read nothing else is known."""
    broken = [*_file_findings(identity, holder)]
    yield from broken
    if identity.leaf is None:
        return
    yield from _times(identity, identity.leaf, holder, now)
    yield from _trust(identity, identity.leaf, holder)
    yield from _strength(identity, identity.leaf, holder)


def kinds_of(identities: Iterable[Identity]) -> tuple[KeyType, ...]:
    """Name the kinds of certificates, of those that could be read."""
    found = {identity.leaf.kind for identity in identities if identity.leaf is not None}
    return tuple(kind for kind in KeyType if kind in found)


def kind_findings(identities: tuple[Identity, ...], holder: Holder) -> Iterator[DoctorFinding]:
    """Say where there is only one kind of certificate; nothing while one could not be read."""
    kinds = kinds_of(identities)
    if any(each.leaf is None for each in identities) or len(kinds) != 1:
        return
    files = ", ".join(each.certificate_file for each in identities)
    host = holder.hosts[0] if holder.hosts else "mx.example.com"
    if kinds == (KeyType.ECDSA,):
        yield DoctorFinding(
            "certificate_ecdsa_only", holder.where, f"{files} has an ECDSA key, and there is no RSA certificate.",
            _BOTH, f"certbot certonly --standalone --key-type rsa --cert-name {host}-rsa -d {host}", area=holder.area,
        )  # fmt: skip
    else:
        yield DoctorFinding(
            "certificate_rsa_only", holder.where, f"{files} has an RSA key, and there is no ECDSA certificate.", _BOTH,
            f"certbot certonly --standalone --key-type ecdsa --cert-name {host}-ecdsa -d {host}", area=holder.area,
        )  # fmt: skip


_BOTH = "smtpd_tls_chain_files = /etc/postfix/rsa-key-and-chain.pem, /etc/postfix/ecdsa-key-and-chain.pem"


_FILE_IDS = {
    FileState.MISSING: ("certificate_missing", "there is no such file"),
    FileState.BROKEN: ("certificate_broken", "it holds no certificate in PEM form"),
}
_KEY_IDS = {
    FileState.MISSING: ("key_missing", "there is no such file"),
    FileState.BROKEN: ("key_broken", "it holds no private key in PEM form"),
    FileState.ENCRYPTED: ("key_encrypted", "the key needs a pass phrase"),
}


def _file_findings(identity: Identity, holder: Holder) -> Iterator[DoctorFinding]:
    said = f" ({printable(identity.words, 200)})" if identity.words else ""
    if identity.chain_fault:
        yield DoctorFinding(
            "chain_files_order", holder.where, f"{identity.certificate_file}: {identity.chain_fault}.", "",
            "cat key.pem cert.pem intermediate.pem > chain.pem", area=holder.area,
        )  # fmt: skip
        return
    if identity.certificate_state in _FILE_IDS:
        name, why = _FILE_IDS[identity.certificate_state]
        yield _file(name, holder, identity.parameter, identity.certificate_file, f"{why}{said}")
    if identity.key_state in _KEY_IDS:
        name, why = _KEY_IDS[identity.key_state]
        opened = f"openssl pkey -in {identity.key_file} -out {identity.key_file}.plain"
        command = opened if name == "key_encrypted" else ""
        yield _file(name, holder, identity.key_parameter, identity.key_file, why, command)
    if identity.leaf is not None and identity.key_public and identity.key_public != identity.leaf.public_key:
        yield DoctorFinding(
            "key_mismatch", holder.where,
            f"{identity.key_file} is not the key of {identity.certificate_file} ({identity.leaf.subject}).",
            f"{holder.setting(identity.parameter, identity.certificate_file)}\n"
            f"{holder.setting(identity.key_parameter, 'KEY-OF-THAT-CERTIFICATE')}",
            f"openssl x509 -noout -pubkey -in {identity.certificate_file}; openssl pkey -pubout -in "
            f"{identity.key_file}",
            area=holder.area,
        )  # fmt: skip
    if identity.key_mode & 0o007:
        yield DoctorFinding(
            "key_readable", holder.where, f"{identity.key_file} may be read by everybody on this machine.", "",
            f"chmod 600 {identity.key_file}", area=holder.area,
        )  # fmt: skip


def _file(name: str, holder: Holder, parameter: str, file: str, why: str, command: str = "") -> DoctorFinding:
    wanted = "KEY.pem" if name.startswith("key") else "CERTIFICATE.pem"
    return DoctorFinding(
        name, holder.where, f"{file or parameter}: {why}.", holder.setting(parameter, wanted), command or holder.edit,
        area=holder.area,
    )  # fmt: skip


def _times(identity: Identity, leaf: CertificateRecord, holder: Holder, now: datetime) -> Iterator[DoctorFinding]:
    for place, each in enumerate(identity.chain):
        what = f"{identity.certificate_file}{f', certificate {place + 1} in it,' if place else ''}"
        if each.ends <= now:
            said = f"{what} ({each.subject}) ended on {each.ends:%Y-%m-%d %H:%M} UTC."
            yield _renewal("certificate_expired", holder, said)
        elif each.ends <= now + SOON and place == 0:
            said = f"{what} ends on {each.ends:%Y-%m-%d %H:%M} UTC, in {(each.ends - now).days} days."
            yield _renewal("certificate_expires_soon", holder, said)
    if leaf.starts > now:
        said = f"{identity.certificate_file} begins on {leaf.starts:%Y-%m-%d %H:%M} UTC, which is to come."
        yield DoctorFinding("certificate_not_yet", holder.where, said, "", "timedatectl", area=holder.area)


def _renewal(name: str, holder: Holder, said: str) -> DoctorFinding:
    return DoctorFinding(name, holder.where, said, "", f"certbot renew && {holder.restart}", area=holder.area)


def _trust(identity: Identity, leaf: CertificateRecord, holder: Holder) -> Iterator[DoctorFinding]:
    file, area = identity.certificate_file, holder.area
    if leaf.is_self_signed:
        said = f"{file} is signed by itself ({leaf.subject})."
        yield DoctorFinding("certificate_self_signed", holder.where, said, "", _certbot(holder), area=area)
        return
    if any(each.signer != following.link for each, following in pairwise(identity.chain)):
        order = "; ".join(each.subject for each in identity.chain[:4])
        said = f"In {file} not every certificate is signed by the next one: {order}."
        command = f"cat CERTIFICATE.pem INTERMEDIATE.pem > {file}"
        yield DoctorFinding("chain_out_of_order", holder.where, said, "", command, area=area)
    elif identity.trust is Trust.NO_ISSUER:
        last = identity.chain[-1]
        said = f"{file} ends with {last.subject}, and its issuer, {last.issuer}, is not known here."
        command = f"cat CERTIFICATE.pem INTERMEDIATE.pem > {file}"
        yield DoctorFinding("chain_incomplete", holder.where, said, "", command, area=area)
    if identity.trust is Trust.PRIVATE:
        said = f"{file} is signed by {identity.chain[-1].issuer}, an authority that this system does not trust."
        yield DoctorFinding("authority_unknown", holder.where, said, "", _certbot(holder), area=area)
    if holder.hosts and not any(covers(leaf.names, host) for host in holder.hosts):
        have = printable(", ".join(leaf.names[:6]), 200) or "no name at all"
        said = f"{file} is for {have}, and this host is {', '.join(holder.hosts)}."
        yield DoctorFinding("certificate_name", holder.where, said, "", _certbot(holder), area=area)


def _certbot(holder: Holder) -> str:
    host = holder.hosts[0] if holder.hosts else "mx.example.com"
    return f"certbot certonly --standalone -d {host}"


def covers(names: Iterable[str], host: str) -> bool:
    """Tell whether a certificate with these names is one for this host (RFC 6125 6.4.3); international names too."""
    wanted = ascii_name(host)
    return any(name in (wanted, f"*.{wanted.partition('.')[2]}") for name in names)


def ascii_name(host: str) -> str:
    """Write a host name as the DNS has it."""
    plain = host.rstrip(".").lower()
    try:
        return plain if plain.isascii() else plain.encode("idna").decode("ascii")
    except UnicodeError:
        return plain


def _strength(identity: Identity, leaf: CertificateRecord, holder: Holder) -> Iterator[DoctorFinding]:
    if leaf.kind is KeyType.RSA and 0 < leaf.bits < SHORTEST_RSA:
        said = f"{identity.certificate_file} has an RSA key of {leaf.bits} bits."
        yield DoctorFinding("key_short", holder.where, said, "", _certbot(holder), area=holder.area)
