"""The operator's own tables of smtpd_discard_ehlo_keyword_address_maps: asked, never written.

A waiver has to repeat what they say of its peer (core/discardtable.py). For an address any type of table can be
asked; for a network its entries must be listed, which not every type allows. Answers are kept until a table's file
changes; what has no file (ldap, mysql, ...) is asked again every five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path

from mailtls.core.discardtable import (
    NOTHING,
    OwnEntries,
    OwnRule,
    OwnTable,
    parse_own_cidr,
    parse_own_tables,
    within_networks,
)
from mailtls.core.tablepair import apart
from mailtls.edge.postmap import Postmap
from mailtls.errors import PostfixError

ASK_AGAIN_S = 300.0
MOST_REMEMBERED = 4
"""Times as many answers as are needed now; beyond that the memory begins anew."""

_EVERYBODY = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class OwnTables:
    """`spelled`: the operator's tables, `type:name`, in their order."""

    def __init__(self, spelled: Iterable[str], postmap: Postmap) -> None:
        self._tables = parse_own_tables(spelled)
        self._postmap = postmap
        self._seen: object = None
        self._answers: dict[str, str | None] = {}
        self._keys: tuple[str, ...] | None = None
        self._rules: tuple[OwnRule, ...] | None = None

    def opaque(self) -> str | None:
        """Name the first table whose entries cannot be listed, so that no network can be waived beside it."""
        for table in self._tables:
            try:
                if not table.enumerable or (table.kind == "cidr" and parse_own_cidr(_text(table)) is None):
                    return table.spelled
            except (PostfixError, ValueError):
                return table.spelled
        return None

    def entries(self, waived: Iterable[str]) -> OwnEntries:
        """Give what the tables say of these addresses and networks. Raises PostfixError."""
        if not self._tables:
            return NOTHING
        self._forget_what_changed()
        hosts, networks = apart(waived)
        rules: tuple[OwnRule, ...] = ()
        if networks:
            rules = self._listed_rules()
            hosts = (*hosts, *within_networks(self._listed_keys(), networks))
        self._ask(hosts)
        return OwnEntries({ip: found for ip in hosts if (found := self._answers[ip]) is not None}, rules)

    def _ask(self, hosts: tuple[str, ...]) -> None:
        if len(self._answers) > MOST_REMEMBERED * len(hosts) + 1000:
            self._answers.clear()
        unknown = [ip for ip in hosts if ip not in self._answers]
        if unknown:
            found = self._postmap.answers((table.spelled for table in self._tables), unknown)
            self._answers.update((ip, found.get(ip)) for ip in unknown)

    def _listed_keys(self) -> tuple[str, ...]:
        if self._keys is None:
            tables = (table for table in self._tables if table.lists_keys)
            self._keys = tuple(key for table in tables for key in self._postmap.entries(table.spelled))
        return self._keys

    def _listed_rules(self) -> tuple[OwnRule, ...]:
        if self._rules is None:
            self._rules = tuple(rule for table in self._tables for rule in _rules(table))
        return self._rules

    def _forget_what_changed(self) -> None:
        now = tuple(_signature(table) for table in self._tables)
        if now != self._seen:
            self._seen, self._keys, self._rules = now, None, None
            self._answers.clear()


def _rules(table: OwnTable) -> tuple[OwnRule, ...]:
    if table.kind == "static":
        return tuple(OwnRule(network, table.name.strip("{}")) for network in _EVERYBODY)
    if table.kind != "cidr":
        return ()
    try:
        return parse_own_cidr(_text(table))
    except ValueError as error:
        raise PostfixError(f"{table.spelled}: this rule cannot be carried along for a network: {error}") from error


def _text(table: OwnTable) -> str:
    try:
        return Path(table.name).read_text("ascii", "replace")
    except OSError as error:
        raise PostfixError(f"{table.spelled}: {(error.strerror or 'it cannot be read').lower()}") from error


def _signature(table: OwnTable) -> object:
    """Give a value that changes when the table does; without a file, every five minutes."""
    if table.files is None:
        return int(time.monotonic() // ASK_AGAIN_S)
    return tuple(_file_signature(Path(name)) for name in table.files)


def _file_signature(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
