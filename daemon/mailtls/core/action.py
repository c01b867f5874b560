"""Actions: what can be decided about a peer, and what a policy can want.

The words are contracts: policy files, `simulate --json`, the history and `mailtls_decisions_total{action}` use them.
"""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What is decided. `propose` waits for a person; `waive`, `extend`, `withdraw` are done at once."""

    IGNORE = "ignore"
    ADVISE = "advise"
    PROPOSE = "propose"
    WAIVE = "waive"
    EXTEND = "extend"
    WITHDRAW = "withdraw"
