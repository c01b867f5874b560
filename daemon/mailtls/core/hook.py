"""Our hooks into the SMTP dialogue, as master.cf names them: where Postfix asks the policy service, and the milter.

The question stands in a restriction class of the entry's own, so that each place is one word of ours, put in front of
what the site asks there and taken out byte for byte. In front, because a `permit` of the site's would end the list: the
service would hear of some messages and not of others. It answers DUNNO, or keeps the message out; it never lets in
what the site would refuse.

At DATA once per message, when TLS is known and the envelope complete, and at END-OF-MESSAGE for the true size; at a
door also for each recipient, since at DATA Postfix names none where there are several (SMTPD_POLICY_README). Never a
header from END-OF-MESSAGE: a PREPEND there comes too late.

Settings in braces for one service: Postfix 3.0, `policy_context` 3.1. With `default_action=DUNNO` and one try a dead
mailtlsd costs nothing, and one that hangs three seconds for the first message of each smtpd process (facts 9.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailtls.core.cause import Door
from mailtls.core.mapentry import SEPARATORS, Wanted
from mailtls.core.milterentry import ELEMENT, MILTERS
from mailtls.core.smtpfacts import CONTEXT

CLASS = "mailtls_policy"
"""The restriction class that asks the policy service."""
CLASSES = "smtpd_restriction_classes"
STAGES = ("smtpd_data_restrictions", "smtpd_end_of_data_restrictions")
DOOR_STAGES = ("smtpd_recipient_restrictions", *STAGES)
SINCE = (3, 1)
"""The version of Postfix that knows all of this."""
_ASK = "check_policy_service"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What Postfix asks. `policy`: where the policy service is, `unix:mailtls/policy`; None: it is not asked.

    `milter`: whether it tells mailtls-milter (core/milterentry.py).
    """

    policy: str | None = None
    milter: bool = False


NO_HOOKS = Hooks()


def endpoint(queue: str, socket: str, listen: str) -> str:
    """Say how Postfix finds the socket: by a path from its queue directory, where a chrooted smtpd is, or by a port."""
    below = queue.rstrip("/") + "/"
    if socket.startswith(below):
        return f"unix:{socket.removeprefix(below)}"
    return f"inet:{listen}" if listen else f"unix:{socket}"


def is_known_to(mail_version: str) -> bool:
    """Tell whether this version of Postfix knows the settings."""
    numbers = tuple(int(part) for part in mail_version.partition("-")[0].split(".")[:2] if part.isdecimal())
    return numbers >= SINCE


def _question(where: str, door: Door) -> tuple[str, str]:
    settings = f"default_action=DUNNO, timeout=3s, try_limit=1, policy_context={CONTEXT}{door}"
    return _ASK, f"{{ {where}, {settings} }}"


def strict_hooks(hooks: Hooks, service: str, own: Mapping[str, str]) -> tuple[Wanted, ...]:
    """Say what the port-25 service shall ask; `own`: what its parameters took from main.cf so far, as written."""
    heard = (Wanted(service, MILTERS, (ELEMENT,), own.get(MILTERS, "")),) if hooks.milter else ()
    if hooks.policy is None:
        return heard
    return (
        *heard,
        Wanted(service, CLASSES, (CLASS,), own.get(CLASSES, "")),
        Wanted(service, CLASS, _question(hooks.policy, Door.STRICT)),
        *(Wanted(service, stage, (CLASS,), own.get(stage, "")) for stage in STAGES),
    )


def door_hooks(hooks: Hooks, door: Door, written: Mapping[str, str]) -> dict[str, str]:
    """Give the options by which a door asks; `written`: the values of the service it is derived from."""
    if hooks.policy is None:
        return {}
    stages = {stage: written.get(stage, "").strip(SEPARATORS) for stage in DOOR_STAGES}
    return {
        CLASS: " ".join(_question(hooks.policy, door)),
        **{stage: f"{CLASS}, {own}" if own else CLASS for stage, own in stages.items()},
    }
