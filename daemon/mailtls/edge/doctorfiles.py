"""The files that TLS settings name, as the doctor reads them: certificates, chains, keys, DH parameters, authorities.

Each file is read once, however many services name it. What cannot be read for want of permission is no finding: it is
noted, so that a plain user is told what root would see.

SECURITY: a key is handed to openssl(1) by a pipe, and nothing of it is kept but its public half.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from mailtls.core.doctoridentity import CertificateRecord, FileState, Identity, Trust
from mailtls.core.pem import LARGEST, Block, kind_of, parse_pem
from mailtls.core.printable import printable
from mailtls.edge.openssl import ask, ask_loudly, public_key_of

LONGEST_CHAIN = 10
AUTHORITIES: tuple[str, ...] = ()
"""Further arguments of `openssl verify`: other authorities than the system's."""
_FIELD = {name: re.compile(rf"^{name}=(.*)$", re.MULTILINE) for name in ("subject", "issuer", "notBefore", "notAfter")}
_BITS = re.compile(r"Public-Key: \((\d{1,6}) bit\)")
_NAME = re.compile(r"DNS:([^\s,]{1,255})")
_COMMON_NAME = re.compile(r"(?:^|,)CN=([^,+]{1,255})")
_ERROR = re.compile(r"error (\d{1,3}) at \d+ depth")
_DH_BITS = re.compile(r"DH Parameters: \((\d{1,6}) bit\)")
_TRUST = {
    18: Trust.SELF_SIGNED, 19: Trust.PRIVATE, 2: Trust.NO_ISSUER, 20: Trust.NO_ISSUER, 21: Trust.NO_ISSUER,
}  # fmt: skip
"""X509_V_ERR_*, include/openssl/x509_vfy.h."""


@dataclass(slots=True)
class FileReader:
    """Reads files once. `forbidden`: those that this user may not read."""

    forbidden: dict[str, None] = field(default_factory=dict)
    _texts: dict[str, tuple[FileState, str, str]] = field(default_factory=dict)
    _identities: dict[tuple[str, str], Identity] = field(default_factory=dict)

    def text(self, path: str) -> tuple[FileState, str, str]:
        """Give a file's state, its text, and what the system said where it cannot be read."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> tuple[FileState, str, str]:
        try:
            if Path(path).is_dir():
                return FileState.BROKEN, "", "it is a directory"
            with Path(path).open("rb") as file:
                return FileState.READ, file.read(LARGEST).decode("ascii", "replace"), ""
        except PermissionError:
            self.forbidden[path] = None
            return FileState.UNREADABLE, "", "no permission"
        except (OSError, ValueError) as error:
            return FileState.MISSING, "", (getattr(error, "strerror", None) or "no such file").lower()

    def identity(self, parameters: tuple[str, str], certificate: str, key: str) -> Identity:
        """Read a certificate file with its key file; `parameters` name them."""
        if (certificate, key) not in self._identities:
            self._identities[certificate, key] = self._identity(certificate, key)
        return replace(self._identities[certificate, key], parameter=parameters[0], key_parameter=parameters[1])

    def _identity(self, certificate: str, key: str) -> Identity:
        state, text, words = self.text(certificate)
        blocks = [block for block in parse_pem(text) if block.is_certificate]
        chain = records(blocks)
        if state is FileState.READ and not chain:
            state = FileState.BROKEN
        key_state, public = self._key(key or certificate)
        trust = trust_of(blocks, certificate) if chain else Trust.UNKNOWN
        mode = 0
        with suppress(OSError, ValueError):
            mode = Path(key or certificate).stat().st_mode & 0o777 if key_state is FileState.READ else 0
        return Identity("", certificate, "", key or certificate, state, key_state, chain, public, trust, words, mode)

    def _key(self, path: str) -> tuple[FileState, bytes]:
        state, text, _ = self.text(path)
        if state is not FileState.READ:
            return state, b""
        if "ENCRYPTED" in text:
            return FileState.ENCRYPTED, b""
        public = next((half for block in parse_pem(text) if block.is_key and (half := public_key_of(block))), b"")
        return (FileState.READ if public else FileState.BROKEN), public

    def chain_files(self, parameter: str, paths: tuple[str, ...]) -> tuple[Identity, ...]:
        """Read the files of smtpd_tls_chain_files: keys, each with its certificate and chain behind it."""
        named = ", ".join(paths)
        absent = [(path, self.text(path)) for path in paths if self.text(path)[0] is not FileState.READ]
        if absent:
            path, (state, _, words) = absent[0]
            return (Identity(parameter, path, parameter, path, state, FileState.ABSENT, words=words),)
        text = "\n".join(self.text(path)[1] for path in paths)
        if "ENCRYPTED" in text:
            return (Identity(parameter, named, parameter, named, FileState.READ, FileState.ENCRYPTED),)
        return tuple(self._chains(parameter, named, paths))

    def _chains(self, parameter: str, named: str, paths: tuple[str, ...]) -> list[Identity]:
        found: list[Identity] = []
        key: Block | None = None
        behind: list[Block] = []
        blocks = [block for path in paths for block in parse_pem(self.text(path)[1])]
        if not blocks:
            return [Identity(parameter, named, parameter, named, FileState.BROKEN, FileState.ABSENT)]
        for block in (*blocks, None):
            if block is not None and block.is_certificate and key is not None:
                behind.append(block)
            elif block is not None and block.is_certificate:
                return [_out_of_order(parameter, named, "a certificate stands where its key should be")]
            elif block is None or block.is_key:
                if key is not None and not behind:
                    return [_out_of_order(parameter, named, "a key is not followed by its certificate")]
                if key is not None:
                    found.append(_chained(parameter, named, paths, key, behind))
                key, behind = block, []
        return found


def _out_of_order(parameter: str, named: str, fault: str) -> Identity:
    return Identity(parameter, named, parameter, named, FileState.READ, FileState.ABSENT, chain_fault=fault)


def _chained(parameter: str, named: str, paths: tuple[str, ...], key: Block, behind: list[Block]) -> Identity:
    public = public_key_of(key)
    chain = records(behind)
    state = FileState.READ if chain else FileState.BROKEN
    trust = trust_of(behind, paths[0]) if chain else Trust.UNKNOWN
    key_state = FileState.READ if public else FileState.BROKEN
    return Identity(parameter, named, parameter, named, state, key_state, chain, public, trust)


def records(blocks: list[Block]) -> tuple[CertificateRecord, ...]:
    """Read the certificates of a chain up to the first that OpenSSL cannot read."""
    found = []
    for block in blocks[:LONGEST_CHAIN]:
        record = record_of(block)
        if record is None:
            break
        found.append(record)
    return tuple(found)


@lru_cache(maxsize=64)
def record_of(block: Block) -> CertificateRecord | None:
    """Read one certificate; None where OpenSSL cannot."""
    said = ask(
        "x509", "-noout", "-subject", "-issuer", "-startdate", "-enddate", "-ext", "subjectAltName", "-pubkey",
        "-text", "-nameopt", "RFC2253,-esc_msb,utf8", given=block.text,
    )  # fmt: skip
    if said is None:
        return None
    fields = {name: found.group(1).strip() for name, pattern in _FIELD.items() if (found := pattern.search(said))}
    keys = [each.content for each in parse_pem(said) if each.label == "PUBLIC KEY"]
    starts, ends = _moment(fields.get("notBefore", "")), _moment(fields.get("notAfter", ""))
    if not keys or starts is None or ends is None:
        return None
    bits = _BITS.search(said)
    subject, issuer = fields.get("subject", ""), fields.get("issuer", "")
    names = tuple(dict.fromkeys(_NAME.findall(said))) or tuple(_COMMON_NAME.findall(subject))
    return CertificateRecord(
        printable(subject, 200), printable(issuer, 200), subject, issuer, kind_of(keys[0]),
        int(bits.group(1)) if bits else 0, tuple(name.lower() for name in names), starts, ends, keys[0],
        block.content,
    )  # fmt: skip


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    except ValueError:
        return None


def trust_of(blocks: list[Block], path: str) -> Trust:
    """Ask whether the system's authorities vouch for a chain, whatever the time is. `path`: a file that holds it."""
    arguments = ("-no_check_time", "-auth_level", "0", "-purpose", "sslserver", *AUTHORITIES, "-untrusted", path)
    status, words = ask_loudly("verify", *arguments, given=blocks[0].text)
    if status == 0:
        return Trust.TRUSTED
    found = _ERROR.search(words)
    return _TRUST.get(int(found.group(1)), Trust.UNKNOWN) if found else Trust.UNKNOWN


def dh_bits(text: str) -> int:
    """Give the bits of DH parameters in PEM; 0 where there are none."""
    said = ask("dhparam", "-noout", "-text", given=text)
    found = _DH_BITS.search(said or "")
    return int(found.group(1)) if found else 0


def has_digest(name: str) -> bool:
    """Tell whether this OpenSSL knows a digest of this name."""
    return re.fullmatch(r"[A-Za-z0-9_/-]{1,40}", name) is not None and ask("dgst", f"-{name}") is not None
