"""The policy: the operator's will, as a TOML file says it.

Whatever its causes say, the decider gives no more than its bounds allow: `limits.automatic` lists what is given
without a person's word, and `sslv3` cannot stand there at all (only a person or a known-legacy entry gives it).

`parse_policy` is pure: text in, a frozen Policy out, or one ConfigError. The keys and their defaults are in `rule`
and `messagerule`; what a policy may not say although each key is well-formed is the table in `contradiction`.
"""

from __future__ import annotations

from pydantic import Field

from mailtls.core.cause import Cause
from mailtls.core.contradiction import contradictions
from mailtls.core.messagerule import Downgrade, PhaseOut, Require
from mailtls.core.operatorfile import parse_operator_file, refusal
from mailtls.core.rule import CauseRule, Limits, Never, Table
from mailtls.errors import ConfigError


class Policy(Table):
    """The whole file."""

    causes: dict[Cause, CauseRule] = Field(default_factory=dict)
    limits: Limits = Limits()
    never: Never = Never()
    require: Require = Require()
    downgrade: Downgrade = Downgrade()
    phase_out: tuple[PhaseOut, ...] = ()
    known_legacy: str | None = None
    """The file of known peers, relative to the policy file; None: `known-legacy.toml` beside it, if there is one."""

    def rule(self, cause: Cause) -> CauseRule:
        """Give the rule for a cause; what the file does not name is advised."""
        return self.causes.get(cause, _UNNAMED)


_UNNAMED = CauseRule()


def parse_policy(text: str, source: str) -> Policy:
    """Read a policy from its text; `source` names it in errors. Raises ConfigError with one sentence."""
    policy = parse_operator_file(Policy, text, source)
    faults = list(contradictions(policy))
    if faults:
        raise ConfigError(refusal(faults, text, source))
    return policy
