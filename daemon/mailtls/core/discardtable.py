"""The two tables that hide STARTTLS: what stands for whom, and what else is hidden from the same peer.

`smtpd_discard_ehlo_keyword_address_maps` names our host table, our `cidr:` table, and then the operator's own tables;
smtpd asks them in this order with the printed address, once a session, and the first hit *replaces* what the service
discards (smtpd/smtpd.c:smtpd_proto, facts of 3.7.11). So a waiver must repeat everything else that Postfix discards:

- The value is the union of what the service discards from everybody, the operator's own answer for the address, and
  `starttls`. Without us his answer alone would hold; with it the union may hide one keyword more from a peer that is
  broken anyway, and gives nothing back that somebody hid on purpose.
- Never with `silent-discard`: the log line `discarding EHLO keywords` is the proof that a waiver is used.
- Never empty: smtpd takes an empty value for a broken table and answers 421 to everybody.

A waiver for a network stands before the operator's answers for addresses inside it, so these are carried along: his
exact entries into the host table, his `cidr:` rules, cut to the network, before ours. Keys are spelled as smtpd prints
addresses (facts 1.2): canonical, without brackets or prefix.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from mailtls.core.peer import canonical_ip
from mailtls.core.rule import Network
from mailtls.core.tablepair import TablePair, apart

STARTTLS = "starttls"
SILENT = "silent-discard"


@dataclass(frozen=True, slots=True)
class OwnRule:
    """One rule of the operator's tables that holds for a whole network; `static:` is two, for all of each family."""

    network: Network
    keywords: str


@dataclass(frozen=True, slots=True)
class OwnEntries:
    """What the operator's tables say without us.

    `answers`: by address, for each waived address and each exact entry inside a waived network, whichever of his
    tables answers first. `rules`: those of his tables that hold for networks, in the order in which smtpd meets them.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[OwnRule, ...] = ()


NOTHING = OwnEntries()


def discard_tables(waived: Iterable[str], service: Iterable[str], own: OwnEntries = NOTHING) -> TablePair:
    """Make the tables for the waived addresses and networks (canonical), the service's keywords and the operator's."""
    hosts, networks = apart(waived)
    keywords, answers = " ".join(service), own.answers
    usual = with_starttls(keywords)
    values = dict.fromkeys(hosts, usual)  # ten thousand waivers, and mostly nothing of the operator's: at C speed
    for ip in values.keys() & answers.keys() if not networks else answers.keys():
        values[ip] = with_starttls(f"{keywords} {answers[ip]}")
    return TablePair(
        values, (*_carried(networks, own.rules, keywords), *((network, usual) for network in networks))
    )


def _carried(networks: tuple[str, ...], rules: tuple[OwnRule, ...], service: str) -> list[tuple[str, str]]:
    """Cut each of the operator's rules to each waived network; networks nest or are apart, they never cross."""
    cut: dict[str, str] = {}
    for rule in rules:
        for text in networks:
            network = _parsed(text)
            if network.version == rule.network.version and network.overlaps(rule.network):
                inner = network if network.prefixlen >= rule.network.prefixlen else rule.network
                cut.setdefault(str(inner), with_starttls(f"{service} {rule.keywords}"))
    return list(cut.items())


@lru_cache(maxsize=4096)
def with_starttls(keywords: str) -> str:
    """Add `starttls` to keywords as Postfix reads them: any case, between commas and spaces (global/ehlo_mask.c)."""
    words = dict.fromkeys(keywords.replace(",", " ").lower().split())
    words.pop(SILENT, None)
    words.pop(STARTTLS, None)
    return " ".join((*words, STARTTLS))


def still_standing(tables: TablePair, waived: Iterable[str]) -> TablePair:
    """Cut the tables down to what is still waived: for the time when the operator's tables cannot be asked.

    Nothing is added then, since nobody knows what else Postfix hides from a new peer.
    """
    peers, wide = apart(waived)
    alone, networks = frozenset(peers), tuple(_parsed(each) for each in wide)
    hosts = {ip: words for ip, words in tables.hosts.items() if ip in alone or _inside(ip, networks)}
    rules = tuple((network, words) for network, words in tables.networks if _inside(network, networks))
    return TablePair(hosts, rules)


def _inside(text: str, networks: tuple[Network, ...]) -> bool:
    inner = _parsed(text) if networks else None
    return any(inner is not None and _is_within(inner, network) for network in networks)


def _is_within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.overlaps(outer)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Network:
    return ipaddress.ip_network(text)


def is_key(text: str) -> bool:
    """Tell whether smtpd ever asks with this key: an address, spelled as it prints addresses."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return canonical_ip(text) == text


def within_networks(keys: Iterable[str], networks: Iterable[str]) -> tuple[str, ...]:
    """Give those keys of the operator's tables that are addresses inside one of the networks."""
    parsed = tuple(_parsed(network) for network in networks)
    return tuple(key for key in keys if is_key(key) and _inside(key, parsed))


# --- the operator's own cidr: tables -----------------------------------------------------------------------------


def parse_own_cidr(text: str) -> tuple[OwnRule, ...]:
    """Read a `cidr:` table (cidr_table(5)), logical lines and all.

    Rules that Postfix itself skips (facts 1.5) may be skipped here as well. `!pattern`, `if` and anything else that
    is not plainly `network result` is a ValueError that repeats it: what is not understood is not carried along.
    """
    return tuple(_own_rule(line) for line in _logical_lines(text))


def _own_rule(line: str) -> OwnRule:
    pattern, _, result = line.partition(" ")
    if not result.strip():
        raise ValueError(line)
    return OwnRule(ipaddress.ip_network(pattern.removeprefix("[").replace("]", "")), result.strip())


def _logical_lines(text: str) -> list[str]:
    """Join lines that begin with white space to the one before; leave out comments (util/readlline.c)."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines:
            lines[-1] += " " + " ".join(line.split())
        else:
            lines.append(" ".join(line.split()))
    return lines


# --- the operator's list of tables -------------------------------------------------------------------------------

_SEQUENCE = frozenset({"hash", "lmdb", "btree", "cdb", "dbm", "sdbm", "texthash", "inline"})
"""Table types whose keys postmap -s lists (tried with 3.7.11; cdb and dbm by util/dict_cdb.c, dict_dbm.c)."""

_FILES: dict[str, Callable[[str], tuple[str, ...]]] = {
    "hash": lambda name: (f"{name}.db",),
    "btree": lambda name: (f"{name}.db",),
    "lmdb": lambda name: (f"{name}.lmdb",),
    "cdb": lambda name: (f"{name}.cdb",),
    "dbm": lambda name: (f"{name}.dir", f"{name}.pag"),
    "sdbm": lambda name: (f"{name}.dir", f"{name}.pag"),
    "texthash": lambda name: (name,),
    "cidr": lambda name: (name,),
    "pcre": lambda name: (name,),
    "regexp": lambda name: (name,),
    "inline": lambda _: (),
    "static": lambda _: (),
}


@dataclass(frozen=True, slots=True)
class OwnTable:
    """One of the operator's tables, `type:name`. `proxy:` in front is left out: we ask the table itself."""

    kind: str
    name: str

    @property
    def spelled(self) -> str:
        """Name it as postmap(1) takes it."""
        return f"{self.kind}:{self.name}"

    @property
    def lists_keys(self) -> bool:
        """Tell whether its exact entries can be listed."""
        return self.kind in _SEQUENCE

    @property
    def enumerable(self) -> bool:
        """Tell whether everything it can answer can be listed, so that a network can be waived beside it."""
        return self.lists_keys or self.kind == "static" or (self.kind == "cidr" and not self.name.startswith("{"))

    @property
    def files(self) -> tuple[str, ...] | None:
        """Name the files that change when it changes; None: only asking tells."""
        return _FILES[self.kind](self.name) if self.kind in _FILES else None


def parse_own_tables(spelled: Iterable[str]) -> tuple[OwnTable, ...]:
    """Read `discard_maps` of mailtls.toml."""
    return tuple(_own_table(text) for text in spelled)


def _own_table(text: str) -> OwnTable:
    kind, _, name = text.strip().removeprefix("proxy:").partition(":")
    return OwnTable(kind.strip().lower(), name.strip())
