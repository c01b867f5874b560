"""The tables of mailtlsd's memory, and the statements that write them. docs/decisions/0009 says why these.

An address is a key that sorts (`core.peerkey`), a time is seconds since 1970. `peers` has one row per address;
`days` counts its sessions by day and kind, in rows of a dozen bytes, because the words of a kind stand once in `kinds`.
`decisions`, `steps` and `waivers` may speak of networks: `first` and `last` are the ends of the range.

`arrivalschema` has the tables of what Postfix itself told, `helloschema` that of hellos. Any change of a table needs a
new `VERSION` and a step in `storemigration`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    case,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import Insert, insert

from mailtls.core.peerstate import PeerState

APPLICATION = 0x6D744C53
"""`PRAGMA application_id`: file(1) and mailtlsd tell the file from databases of others by it (`mtLS`)."""

VERSION = 3
"""`PRAGMA user_version` of a database with these tables."""

METADATA = MetaData()
NOBODY = 0
"""In `days`, instead of a peer: sessions of the server itself, and of addresses that the log does not tell."""

PEERS = Table(
    "peers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("ip", LargeBinary, nullable=False, unique=True),
    Column("name", Text),
    Column("first_seen", Integer),
    Column("last_seen", Integer, nullable=False),
    Column("sessions", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("mails", Integer, nullable=False),
    Column("proven", SmallInteger, nullable=False),  # it got mail or a handshake through, at any service
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("reason", Text),
    Column("tls_version", Text),
    Column("conduct", Text),  # core.conductrecord; NULL: never seen on port 25
)
Index("peers_by_time", PEERS.c.proven, PEERS.c.last_seen, PEERS.c.state)

KINDS = Table(
    "kinds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("service", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("tls_version", Text),
    Column("cipher", Text),
)

DAYS = Table(
    "days",
    METADATA,
    Column("peer", Integer, nullable=False),
    Column("day", Integer, nullable=False),  # since 1970, UTC
    Column("kind", Integer, nullable=False),
    Column("sessions", Integer, nullable=False),
    Column("mails", Integer, nullable=False),
    PrimaryKeyConstraint("peer", "day", "kind"),
    sqlite_with_rowid=False,
)

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("weight", SmallInteger, nullable=False),  # the lightest are forgotten first (storebatch.WEIGHTS)
    Column("first", LargeBinary),
    Column("last", LargeBinary),
    Column("who", Text),
    Column("name", Text),
    Column("action", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("cause", Text),
    Column("level", Text),
    Column("until", Float),
    Column("said", Text, nullable=False),  # JSON: reasons, evidence, alternatives
)
Index("decisions_by_time", DECISIONS.c.at)
Index("decisions_by_weight", DECISIONS.c.weight, DECISIONS.c.at)
Index("decisions_by_peer", DECISIONS.c.first)

STEPS = Table(
    "steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("number", Integer, nullable=False),
    Column("first", LargeBinary),
    Column("last", LargeBinary),
    Column("event", Text, nullable=False),  # JSON: keeperprotocol.Event
    UniqueConstraint("number", "at"),  # a keeper whose ledger was replaced counts from 1 again
)
Index("steps_by_time", STEPS.c.at)
Index("steps_by_peer", STEPS.c.first)

WAIVERS = Table(
    "waivers",
    METADATA,
    Column("network", Text, primary_key=True),
    Column("first", LargeBinary),
    Column("last", LargeBinary),
    Column("waiver", Text, nullable=False),  # JSON: keeperprotocol.LiveWaiver
)
Index("waivers_by_address", WAIVERS.c.first)
Index("waivers_of_networks", WAIVERS.c.first, WAIVERS.c.last, sqlite_where=WAIVERS.c.first < WAIVERS.c.last)

POSITIONS = Table(
    "positions",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("position", Text, nullable=False),
    Column("open_sessions", Text),
    Column("at", Float, nullable=False),
)


class Bulk:
    """A statement for thousands of rows, compiled once; SQLAlchemy would look at each row again."""

    def __init__(self, statement: Insert, columns: Sequence[str] | None = None) -> None:
        dialect = sqlite.dialect()  # type: ignore[no-untyped-call, unused-ignore]  # before SQLAlchemy 2.1
        compiled = statement.inline().compile(dialect=dialect, column_keys=columns)
        self.sql = str(compiled)
        self._values = itemgetter(*(getattr(compiled, "positiontup", None) or ()))

    def values(self, rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """Give the values of rows in the order in which the statement has them."""
        return list(map(self._values, rows))


_UNKNOWN = literal_column("'unknown'", Text)  # what Postfix prints where a name was not confirmed
_QUIET = literal_column(f"'{PeerState.QUIET}'", Text)

_SEEN = insert(PEERS)
_NEW = _SEEN.excluded
# Sessions of other services do not change what port 25 says; one that neither failed nor got through says nothing.
_SAYS_NOTHING = _NEW.conduct.is_(None) & (PEERS.c.conduct.is_not(None) | (_NEW.state == _QUIET))
_NO_NAME = _NEW.name.is_(None) | ((func.lower(_NEW.name) == _UNKNOWN) & PEERS.c.name.is_not(None))

_PUT_PEER = _SEEN.on_conflict_do_update(
    index_elements=[PEERS.c.ip],
    set_={
        "name": case((_NO_NAME, PEERS.c.name), else_=_NEW.name),
        "first_seen": func.coalesce(func.min(PEERS.c.first_seen, _NEW.first_seen), PEERS.c.first_seen, _NEW.first_seen),
        "last_seen": func.max(PEERS.c.last_seen, _NEW.last_seen),
        "sessions": PEERS.c.sessions + _NEW.sessions,
        "failures": PEERS.c.failures + _NEW.failures,
        "mails": PEERS.c.mails + _NEW.mails,
        "proven": func.max(PEERS.c.proven, _NEW.proven),
        "state": case((_SAYS_NOTHING, PEERS.c.state), else_=_NEW.state),
        "cause": func.coalesce(_NEW.cause, PEERS.c.cause),
        "reason": case((_NEW.cause.is_not(None), _NEW.reason), else_=PEERS.c.reason),
        "tls_version": func.coalesce(_NEW.tls_version, PEERS.c.tls_version),
        "conduct": func.coalesce(_NEW.conduct, PEERS.c.conduct),
    },
)
PUT_PEER = Bulk(_PUT_PEER, [column.name for column in PEERS.c if column.name != "id"])
"""Add what a batch tells of a peer to what is known; a conduct takes the place of the old one."""

_COUNTED = insert(DAYS).values(
    peer=func.coalesce(
        select(PEERS.c.id).where(PEERS.c.ip == bindparam("ip")).scalar_subquery(), literal_column(str(NOBODY))
    ),
    day=bindparam("day"),
    kind=bindparam("kind"),
    sessions=bindparam("sessions"),
    mails=bindparam("mails"),
)
_PUT_DAY = _COUNTED.on_conflict_do_update(
    index_elements=[DAYS.c.peer, DAYS.c.day, DAYS.c.kind],
    set_={
        "sessions": DAYS.c.sessions + _COUNTED.excluded.sessions,
        "mails": DAYS.c.mails + _COUNTED.excluded.mails,
    },
)
PUT_DAY = Bulk(_PUT_DAY)
"""Add to the counts of a day; `ip`: the key of the peer, or None."""

PUT_STEP = insert(STEPS).on_conflict_do_nothing()

_PLACED = insert(POSITIONS)
PUT_POSITION = _PLACED.on_conflict_do_update(
    index_elements=[POSITIONS.c.source],
    set_={name: _PLACED.excluded[name] for name in ("position", "open_sessions", "at")},
)

_STANDING = insert(WAIVERS)
PUT_WAIVER = _STANDING.on_conflict_do_update(
    index_elements=[WAIVERS.c.network],
    set_={name: _STANDING.excluded[name] for name in ("first", "last", "waiver")},
)
