"""What the tests of the store share: things to remember, and a loop to do it in."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Coroutine, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailtls.core.action import Action
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.conduct import Conduct
from mailtls.core.decision import Decision, Rule
from mailtls.core.keeperprotocol import Event, LiveWaiver, Step
from mailtls.core.level import Level
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.core.waiver import Origin
from mailtls.edge.store import Change, Position, Store
from mailtls.edge.storeretention import Bounds

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that awaits."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


async def opened(path: Path, bounds: Bounds | None = None) -> Store:
    """Open a store whose clock stands still."""
    return await Store.open(path, lambda: NOW, bounds)


def session(ip: str | None = "192.0.2.7", at: datetime | None = NOW, **fields: Any) -> Session:
    """One session; of TLS 1.3 unless said otherwise."""
    given = {
        "service": Service.SMTPD,
        "door": Door.STRICT,
        "outcome": Outcome.TLS_OK,
        "cause": Cause.NONE,
        "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
    } | fields
    name = given.pop("name", "mx.example.com")
    return Session(at, Peer(ip, name) if ip is not None else None, **given)


def failed(ip: str = "192.0.2.7", at: datetime | None = NOW, **fields: Any) -> Session:
    """One session that failed."""
    given = {"outcome": Outcome.TLS_FAILED, "cause": Cause.PEER_TOO_OLD, "reason": "unsupported protocol"}
    return session(ip, at, **(given | {"tls_version": None, "cipher": None} | fields))


def looked(ip: str = "192.0.2.7", at: datetime | None = NOW, **fields: Any) -> Session:
    """One session of a stranger that did nothing."""
    given = {"outcome": Outcome.NO_STARTTLS, "tls_version": None, "cipher": None, "name": "unknown"}
    return session(ip, at, **(given | fields))


def decision(ip: str | None = "192.0.2.7", action: Action = Action.ADVISE, **fields: Any) -> Decision:
    """One decision."""
    peer = Peer(ip, fields.pop("name", "mx.example.com")) if ip is not None else None
    given = {"at": NOW, "cause": Cause.PEER_TOO_OLD, "reasons": ("why",), "evidence": ("a line",)}
    return Decision(action=action, rule=Rule.POLICY, peer=peer, **(given | fields))


def live(network: str = "192.0.2.7", **fields: Any) -> LiveWaiver:
    """One waiver."""
    given = {
        "id": f"policy-{network.replace('/', '-')}",
        "level": Level.LEGACY,
        "owner": "policy",
        "reason": "old copier",
        "granted": NOW,
        "until": NOW + 30 * DAY,
        "latest": NOW + 180 * DAY,
        "origin": Origin.POLICY,
    }
    return LiveWaiver(network=network, **(given | fields))


def event(number: int, waiver: LiveWaiver | None = None, **fields: Any) -> Event:
    """One step in a waiver's life."""
    given = {"at": NOW + timedelta(seconds=number), "step": Step.GRANTED, "by": "root"}
    return Event(number=number, waiver=waiver or live(), **(given | fields))


def change(*sessions: Session, position: str | None = None, **fields: Any) -> Change:
    """What a batch of these sessions is; `position`: how far the log was read."""
    positions = {"mail.log": Position(position, None, NOW)} if position is not None else {}
    return Change(sessions=list(sessions), positions=positions, **fields)


def good(name: str = "mx.example.com") -> Conduct:
    """The conduct of somebody who always gets through."""
    return Conduct(name=name, good="TLSv1.3", used_to_succeed=True, mailed=True)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the file itself, as sqlite3(1) would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(query).fetchall()


def addresses(number: int, network: str = "10.0.0.0") -> Iterable[str]:
    """Count addresses."""
    first, second, *_ = network.split(".")
    return (f"{first}.{second}.{count >> 8 & 255}.{count & 255}" for count in range(number))
