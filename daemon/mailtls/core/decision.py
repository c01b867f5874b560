"""A decision: what the policy wants done about one peer, and why.

A decision is a value; nothing here acts. `reasons` are whole sentences for the operator, `evidence` the log lines
that prove them, `alternatives` what a person may do instead. The words of `Rule` are contracts, as those of
`action.Action` are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.level import Level
from mailtls.core.peer import Peer

ACTING = frozenset({Action.WAIVE, Action.EXTEND, Action.WITHDRAW})
"""Actions that change which peers are let down."""


class Rule(StrEnum):
    """Which rule decided; `docs/policy.md` has a sentence for each."""

    SERVER_FAULT = "server_fault"
    POLICY = "policy"
    SCANNER = "scanner"
    NEVER = "never"
    KNOWN_LEGACY = "known_legacy"
    NO_DOOR = "no_door"
    GOOD_HISTORY = "good_history"
    FALLS_BACK = "falls_back"
    RECOVERED = "recovered"
    UNDETERMINED = "undetermined"
    NO_STAMPS = "no_stamps"
    NOT_YET = "not_yet"
    FLOOR = "floor"
    USELESS = "useless"
    NOT_AUTOMATIC = "not_automatic"
    LONGEST = "longest"
    QUOTA = "quota"
    THRESHOLD = "threshold"
    USED = "used"
    OUTGROWN = "outgrown"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `peer` None: it speaks of the server. `at`: evidence time, None where the log has no stamps.

    `level` and `until`: of the waiver that is proposed, given, renewed or withdrawn. `cause`: of the failures.
    """

    action: Action
    rule: Rule
    peer: Peer | None
    at: datetime | None
    cause: Cause | None
    reasons: tuple[str, ...]
    level: Level | None = None
    until: datetime | None = None
    evidence: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer of one rule to one case: what to do and why, without whom it concerns."""

    action: Action
    rule: Rule
    reasons: tuple[str, ...]
    level: Level | None = None
    alternatives: tuple[str, ...] = ()
