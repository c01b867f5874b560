"""The tables of arrivals: what Postfix itself told of messages at DATA (core/arrival.py), and the statements for them.

A book beside that of the sessions (storeschema.DAYS, from the log): a message is counted here, its session there, and
the two are never added up (docs/decisions/0024). `arrivals` has one row per peer, what its last message came with;
`messages` counts by day and kind, in rows of a dozen bytes, because the words of a kind stand once in `message_kinds`.
"""

from __future__ import annotations

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from mailtls.edge.storeschema import METADATA, PEERS, Bulk

MESSAGE_KINDS = Table(
    "message_kinds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("door", Text, nullable=False),
    Column("tls_version", Text),  # NULL: cleartext, as far as Postfix sees
    Column("cipher", Text),
    Column("keysize", SmallInteger, nullable=False),  # bits; 0: no TLS
    Column("certificate", Text, nullable=False),  # the client's: core.arrival.Certificate
)

MESSAGES = Table(
    "messages",
    METADATA,
    Column("peer", Integer, nullable=False),
    Column("day", Integer, nullable=False),  # since 1970, UTC
    Column("kind", Integer, nullable=False),
    Column("messages", Integer, nullable=False),
    PrimaryKeyConstraint("peer", "day", "kind"),
    sqlite_with_rowid=False,
)

ARRIVALS = Table(
    "arrivals",
    METADATA,
    Column("peer", Integer, primary_key=True),
    Column("at", Integer, nullable=False),  # seconds since 1970
    Column("kind", Integer, nullable=False),
    Column("helo", Text),
    Column("sender_domain", Text),
    Column("subject", Text),
    Column("fingerprint", Text),
    Column("good_sessions", Integer, nullable=False),  # of TLS 1.2 or later at the strict door (core.proof)
    Column("good_version", Integer, nullable=False),
    Column("good_at", Integer, nullable=False),
    Column("alarm", Text),  # the last verdict that was not DUNNO, a sentence
    Column("alarm_at", Integer),
)

ARRIVAL_TABLES = (MESSAGE_KINDS, MESSAGES, ARRIVALS)

_PEER = select(PEERS.c.id).where(PEERS.c.ip == bindparam("ip")).scalar_subquery()

_COUNTED = insert(MESSAGES).values(
    peer=_PEER, day=bindparam("day"), kind=bindparam("kind"), messages=bindparam("messages")
)
PUT_MESSAGES = Bulk(
    _COUNTED.on_conflict_do_update(
        index_elements=[MESSAGES.c.peer, MESSAGES.c.day, MESSAGES.c.kind],
        set_={"messages": MESSAGES.c.messages + _COUNTED.excluded.messages},
    )
)
"""Add to the messages of a day; `ip`: the key of a peer that is stored."""

_OWN = [column.name for column in ARRIVALS.c if column.name != "peer"]
_ARRIVED = insert(ARRIVALS).values(peer=_PEER, **{name: bindparam(name) for name in _OWN})
PUT_ARRIVAL = Bulk(
    _ARRIVED.on_conflict_do_update(
        index_elements=[ARRIVALS.c.peer],
        set_={name: _ARRIVED.excluded[name] for name in _OWN if not name.startswith("alarm")}
        | {name: func.coalesce(_ARRIVED.excluded[name], ARRIVALS.c[name]) for name in ("alarm", "alarm_at")},
    )
)
"""Put what a peer's last message came with in place of what was known; without an alarm, the last one stays."""
