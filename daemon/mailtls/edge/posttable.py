"""The tables that Postfix reads: built beside the old ones, renamed over them, and proved by a look-up.

A pair is named after what it is for: `discard.lmdb` (or `discard.db`, where lmdb is missing) holds addresses,
`discard.cidr` networks, and each door has such a pair as well. A missing or broken table is a 421 for every client
(facts 1.5), so none is ever absent: each change is a new file, on the disk, renamed over the old one. The cidr file
goes first: smtpd does not notice it, but it notices the other and then reads both (facts 11.1). Nothing is ever changed
in place: a reader's lock on the old file, which any user may take, stops nobody.

A small change is made to a copy of the present file (`postmap -i`, `-d`), a larger one builds it anew; the figures are
in docs/decisions/0007. postmap and its look-ups run with a main.cf of our own: the site's is neither read nor waited
for (every Postfix program waits until main.cf is two seconds old, facts 2.5).

SECURITY: the directory and every parent belong to root and are writable by nobody else, or nothing is written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from mailtls.core.tablepair import TablePair
from mailtls.edge.ledger import sync_directory
from mailtls.edge.postmap import Postmap
from mailtls.edge.rootowned import ownership_fault
from mailtls.errors import PostfixError

DISCARD = "discard"
SUFFIX = {"lmdb": ".lmdb", "hash": ".db"}
FEW = 64
"""Changed addresses up to which a copy is changed; beyond that building anew is quicker (0007)."""

Signature = tuple[int, int, int]
Present = tuple[Signature, Signature]


class PostTables:
    """One pair of tables in a directory. `kind`: lmdb or hash. Every method may raise PostfixError."""

    def __init__(self, directory: Path, root: Path, kind: str, postmap: Postmap, name: str = DISCARD) -> None:
        self.directory = directory
        self.kind = kind
        self.name = name
        self.hosts = directory / f"{name}{SUFFIX[kind]}"
        self.networks = directory / f"{name}.cidr"
        self._root = root
        self._postmap = postmap
        self._held: TablePair | None = None
        self._present: Present | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Name both as Postfix does."""
        return f"{self.kind}:{self.directory / self.name}", f"cidr:{self.networks}"

    def beside(self, name: str) -> PostTables:
        """Give another pair in the same directory, such as a door's, which is named after its level."""
        return PostTables(self.directory, self._root, self.kind, self._postmap, name)

    # --- reading -----------------------------------------------------------------------------------------------

    def held(self) -> TablePair | None:
        """Give what the files say; None where one is missing or cannot be read. Cheap while nobody touches them."""
        now = self._signatures()
        if now is None:
            return None
        if now != self._present or self._held is None:
            self._held, self._present = self._read(), now
        return self._held

    def _read(self) -> TablePair | None:
        try:
            hosts = self._postmap.entries(self.names[0])
            lines = [line.partition(" ") for line in self.networks.read_text("ascii").splitlines()]
        except (PostfixError, OSError, UnicodeDecodeError):
            return None
        return TablePair(hosts, tuple((network, words) for network, _, words in lines))

    def _signatures(self) -> Present | None:
        try:
            return _signature(self.hosts), _signature(self.networks)
        except OSError:
            return None

    def differing(self, tables: TablePair, keys: Iterable[str]) -> set[str]:
        """Ask both tables, as smtpd would, and give those of these addresses that get another answer than wanted."""
        keys = tuple(keys)
        found = self._postmap.answers(self.names if self._asks_networks(tables) else self.names[:1], keys)
        return {key for key in keys if found.get(key) != tables.answer_for(key)}

    def _asks_networks(self, tables: TablePair) -> bool:
        return bool(tables.networks) or self.networks.stat().st_size > 0

    def interrupt(self) -> None:
        """End a look-up or a build that runs in another thread, and refuse whatever comes later."""
        self._postmap.interrupt()

    # --- writing -----------------------------------------------------------------------------------------------

    def put(self, wanted: TablePair) -> bool:
        """Make the files say this; False where they did already."""
        held = self.held()
        if held is not None and held.networks == wanted.networks and held.hosts == wanted.hosts:
            return False
        self._check_place()
        try:
            beside = self._built(wanted, held)
            if held is None or held.networks != wanted.networks:
                self._replace_networks(wanted)
            beside.rename(self.hosts)
            sync_directory(self.directory)
        except OSError as error:
            why = (error.strerror or "it cannot be written").lower()
            where = error.filename or self.directory
            raise PostfixError(
                f"{where}: {why}; the tables that Postfix reads stay as they are, and this is tried again"
            ) from error
        self._held, self._present = wanted, self._signatures()
        return True

    def ensure(self) -> tuple[str, ...]:
        """Write an empty valid table where one is missing or cannot be read, touch nothing valid; name what was."""
        self._check_place()
        try:
            return tuple(self._made())
        except OSError as error:
            why = (error.strerror or "it cannot be written").lower()
            where = error.filename or self.directory
            raise PostfixError(
                f"{where}: {why}; Postfix answers 421 to every client while a table is missing"
            ) from error

    def _made(self) -> Iterator[str]:
        if not self._is_readable(self.networks):
            self._replace_networks(TablePair())
            yield self.names[1]
        try:
            self._postmap.answers(self.names[:1], ("192.0.2.1",))
            _signature(self.hosts)
        except (PostfixError, OSError):
            self._built(TablePair(), None).rename(self.hosts)
            yield self.names[0]
        sync_directory(self.directory)

    def _is_readable(self, path: Path) -> bool:
        try:
            path.read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return False
        return True

    def _check_place(self) -> None:
        """Make the directory where it is missing, and refuse one that others than root could change."""
        fault = ownership_fault(self.directory.parent, self._root)
        if fault is None:
            try:
                if not self.directory.exists():
                    self.directory.mkdir()
                    self.directory.chmod(0o755)
                fault = ownership_fault(self.directory, self._root)
            except OSError as error:
                fault = f"{self.directory}: {(error.strerror or 'it cannot be made').lower()}"
        if fault is not None:
            raise PostfixError(f"the tables are not written: {fault}")

    def _built(self, wanted: TablePair, held: TablePair | None) -> Path:
        """Build the host table beside the present one, on the disk; give its path."""
        self._clear_away()
        changed, gone = _difference(wanted.hosts, held.hosts) if held is not None else ({}, set())
        name = f"{self.kind}:{self.directory / self.name}.new"
        beside = self.directory / f"{self.name}.new{SUFFIX[self.kind]}"
        if held is not None and len(changed) + len(gone) <= FEW:
            shutil.copyfile(self.hosts, beside)
            self._postmap.change(name, changed, gone)
        else:
            source = self.directory / f"{self.name}.new"
            _write(source, wanted.host_text())
            self._postmap.build(name)
            source.unlink()
        beside.chmod(0o644)
        _sync(beside)
        return beside

    def _replace_networks(self, wanted: TablePair) -> None:
        beside = self.directory / f"{self.networks.name}.new"
        _write(beside, wanted.network_text())
        _sync(beside)
        beside.rename(self.networks)

    def _clear_away(self) -> None:
        """Remove what a killed predecessor left half built."""
        for suffix in ("", *SUFFIX.values()):
            with suppress(FileNotFoundError):
                (self.directory / f"{self.name}.new{suffix}").unlink()
        with suppress(FileNotFoundError):
            (self.directory / f"{self.networks.name}.new").unlink()


def _difference(wanted: Mapping[str, str], held: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Give what is new or changed, and which keys are gone."""
    fresh = wanted.keys() - held.keys()
    if len({*wanted.values(), *held.values()}) > 1:
        fresh = {ip for ip, words in wanted.items() if held.get(ip) != words}
    return {ip: wanted[ip] for ip in fresh}, held.keys() - wanted.keys()


def _signature(path: Path) -> Signature:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _write(path: Path, text: str) -> None:
    path.write_text(text, "ascii")
    path.chmod(0o644)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
