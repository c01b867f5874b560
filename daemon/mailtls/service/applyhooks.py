"""`setup` puts our hooks into the entry of the port-25 service, and takes them out again (core/hook.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mailtls.core import hook
from mailtls.core.hook import CLASS, Hooks
from mailtls.core.mapentry import Insertion, put_in, tables_of, take_out
from mailtls.core.mastercf import Service, parse_master_cf
from mailtls.core.milterentry import ELEMENT, MILTERS, is_ours
from mailtls.core.setupplan import Written
from mailtls.edge.postconf import Postconf

FROM_MAIN = (hook.CLASSES, *hook.STAGES, MILTERS)


@dataclass(frozen=True, slots=True)
class HookWishes:
    """What the operator wants; None: as at the last setup. `socket`, `listen`: where the policy service is."""

    policy: bool | None = None
    socket: Path = Path("/var/spool/postfix/mailtls/policy")
    listen: str = ""
    milter: bool | None = None


def decided(wishes: HookWishes, postconf: Postconf, before: Iterable[Insertion]) -> Hooks:
    """Say which hooks there shall be; `before`: those that there were so far. Raises ValueError."""
    known = {each.parameter for each in before}
    milter = MILTERS in known if wishes.milter is None else wishes.milter
    if not (CLASS in known if wishes.policy is None else wishes.policy):
        return Hooks(milter=milter)
    values = postconf.values("queue_directory", "mail_version")
    if not hook.is_known_to(values["mail_version"]):
        raise ValueError(
            f"this is Postfix {values['mail_version']}, and --policy-service needs 3.1 (policy_context, and a "
            "default_action for one service, without which a mailtlsd that is down would cost mail)"
        )
    return Hooks(hook.endpoint(values["queue_directory"], str(wishes.socket), wishes.listen), milter)


def put_in_hooks(text: str, services: Iterable[Service], hooks: Hooks, postconf: Postconf) -> Written:
    """Put the hooks into each service. Raises ValueError, PostfixError."""
    insertions = []
    for service in services:
        own = {name: postconf.value(name) for name in FROM_MAIN}
        for wanted in hook.strict_hooks(hooks, service.key, own):
            text, inserted = put_in(text, wanted)
            insertions += [inserted] if inserted is not None else []
    return Written(text, tuple(insertions))


def take_out_hooks(text: str, insertions: Iterable[Insertion]) -> Written:
    """Take out what was put in."""
    notes = []
    for inserted in reversed(tuple(insertions)):
        text, note = take_out(text, inserted, _ours(text, inserted))
        notes += [f"{note}."] if note else []
    return Written(text, (), tuple(notes))


def _ours(text: str, inserted: Insertion) -> tuple[str, ...]:
    """Name our words: where the class is defined all of them are, whatever somebody made of them."""
    if inserted.parameter not in (CLASS, MILTERS):
        return (CLASS,)
    service = parse_master_cf(text).find(inserted.service)
    option = service.option(inserted.parameter) if service is not None else None
    words = tables_of(option.value) if option is not None else ()
    if inserted.parameter == MILTERS:
        return tuple(filter(is_ours, words)) or (ELEMENT,)
    return words or (CLASS,)


def sweep_hooks(text: str) -> Written:
    """Take our hooks out wherever they are, for what is not remembered."""
    return take_out_hooks(text, hooked(text))


def hooked(text: str) -> tuple[Insertion, ...]:
    """Find our hooks, whoever put them in."""
    return tuple(
        Insertion(service.key, option.name, option.value, whole=True)
        for service in parse_master_cf(text).effective
        for option in service.options
        if option.name == CLASS
        or CLASS in tables_of(option.value)
        or (option.name == MILTERS and any(map(is_ours, tables_of(option.value))))
    )
