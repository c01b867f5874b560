"""Looking for a certificate that is on this machine already: an RSA one for the MX's name that everybody trusts.

Looked at are the files that Postfix is told of, and the usual directories. A key is what is looked for first, there
are few of them; a certificate belongs to it if it holds the key's public half, byte for byte.

SECURITY: root reads keys here, and hands them to openssl(1) by a pipe; nothing of them is printed or kept. At most so
many files of so many bytes are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from mailtls.core.doorcertificate import DoorCertificate
from mailtls.core.pem import LARGEST, Block, parse_pem, server_certificates
from mailtls.core.suite import KeyType
from mailtls.edge.openssl import CertificateFacts, certificate_facts, is_trusted, public_key_of

PLACES = ("etc/letsencrypt/live", "etc/ssl", "etc/postfix")
"""Under the root. In /etc/ssl/certs are the authorities, not the site's own."""
NOT_THERE = frozenset({"certs"})
DEEPEST = 3
MOST = 500
NOTED = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What came of the search: the best, or None; and in clauses why others were not taken."""

    best: DoorCertificate | None
    refused: tuple[str, ...] = ()


def read_pem(path: Path) -> tuple[Block, ...]:
    """Read a PEM file; nothing where it cannot be read or is no such file."""
    try:
        if not path.is_file():
            return ()
        with path.open("rb") as file:
            return parse_pem(file.read(LARGEST).decode("ascii", "replace"))
    except OSError:
        return ()


def first_certificates(path: Path) -> tuple[CertificateFacts, ...]:
    """Read the certificates that a server with this file shows. Raises PostfixError."""
    found = (certificate_facts(block) for block in server_certificates(read_pem(path)))
    return tuple(each for each in found if each is not None)


def search(root: Path, configured: Iterable[str], names: tuple[str, ...], now: datetime) -> Found:
    """Find a certificate for one of these names, the first name before the others. Raises PostfixError."""
    files = {path: read_pem(path) for path in _files(root, configured)}
    keys = [(path, each) for path, blocks in files.items() for each in blocks if each.is_key]
    chains = [(path, first[0]) for path, blocks in files.items() if (first := server_certificates(blocks))]
    fit: list[tuple[tuple[bool, float], DoorCertificate]] = []
    refused = []
    for key_path, key in keys:
        half = public_key_of(key)
        for path, leaf in ((p, c) for p, c in chains if half and half in c.content):
            facts = certificate_facts(leaf)
            if facts is None or facts.kind is not KeyType.RSA or not covered(facts.names, names):
                continue
            if why := _fault(path, facts, now):
                refused.append(f"{path} {why}")
            else:
                rank = (not covered(facts.names, names[:1]), -facts.expires.timestamp())
                fit.append((rank, DoorCertificate(str(path), str(key_path))))
    best = min(fit, key=lambda each: (each[0], each[1].certificate), default=None)
    return Found(best[1] if best else None, tuple(dict.fromkeys(refused))[:NOTED])


def _fault(path: Path, facts: CertificateFacts, now: datetime) -> str | None:
    if facts.expires <= now:
        return f"expired on {facts.expires:%Y-%m-%d}"
    return None if is_trusted(str(path)) else "is not signed by an authority that this system trusts, with its chain"


def covered(offered: Iterable[str], names: Iterable[str]) -> bool:
    """Tell whether a certificate's names cover one of these (RFC 6125 6.4.3: `*` is one whole label on the left)."""
    have = frozenset(offered)
    return any(name in have or f"*.{name.partition('.')[2]}" in have for name in (each.lower() for each in names))


def _files(root: Path, configured: Iterable[str]) -> list[Path]:
    listed = [root / each.lstrip("/") if root != Path("/") and not Path(each).exists() else Path(each)
              for each in configured]  # fmt: skip
    found = (path for place in PLACES for path in _below(root / place, DEEPEST))
    return list(dict.fromkeys((*listed, *islice(found, MOST))))


def _below(directory: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth > 1 and entry.name not in NOT_THERE:
                yield from _below(Path(entry.path), depth - 1)
        else:
            yield Path(entry.path)
