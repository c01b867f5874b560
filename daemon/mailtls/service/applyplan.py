"""What is known before Postfix's configuration is changed, and what its ports must show afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from pathlib import Path

from mailtls.core.sighting import COMPARED, Rehearsal, Sighting, changes, gathered, unasked
from mailtls.edge.checkpoint import Workplace
from mailtls.edge.doorprobe import visit
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.edge.postconf import Postconf
from mailtls.edge.runningmaster import Master, find_master
from mailtls.edge.stage import lay_out
from mailtls.edge.swapfile import content_of
from mailtls.errors import PostfixError, RefusedError
from mailtls.service.applyexamine import Examined, Port, examine, fixed_changes, objections

NAMES = ("main.cf", "master.cf")
LOOKS = 3
BETWEEN_LOOKS_S = 1.0


@dataclass(frozen=True, slots=True)
class Site:
    """A Postfix: its configuration directory, the logs where its words are, and where transactions are kept.

    `board` is where mailtlsd hears of changes; `patience_s` how long another transaction is waited for, `distance_s`
    the least time between reloads; `say` is told why something takes time.
    """

    configuration: Path
    workplace: Path
    logs: tuple[Path, ...] = ()
    board: NoticeBoard | None = None
    patience_s: float = 0
    distance_s: float = 0
    say: Callable[[str], None] = lambda _: None

    def place(self) -> Workplace:
        """Give the workplace, not entered yet."""
        return Workplace(self.workplace, self.patience_s, self.say)


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file: `old` is what the change is based on, `new` what it shall be; None: not there."""

    path: Path
    old: bytes | None
    new: bytes | None

    def diff(self) -> str:
        """Give what would change, as a unified diff."""
        old, new = ((each or b"").decode("utf-8", "replace").splitlines(keepends=True) for each in (self.old, self.new))
        names = str(self.path) if self.old is not None else "/dev/null", str(self.path)
        lines = unified_diff(old, new, *names)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done. `strict`: no port may show anything new. `check` adds clauses against what postconf reads.

    `guarded`: while its window is open, peers that begin to fail take it back (`applyguard`).
    """

    what: str
    changes: tuple[FileChange, ...]
    strict: bool = False
    guarded: bool = True
    check: Callable[[Examined, Examined], tuple[str, ...]] = field(default=lambda _present, _staged: ())


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found out beforehand; `present` is None where the present configuration cannot be read.

    `crippled`: the present one breaks every service. Then the programs behind smtpd die as well, and master waits a
    minute before it starts them again (service_throttle_time): nothing that a port shows now says anything about the
    change, TLS and mail cannot be tried, and whatever mends it stands.
    """

    present: Examined | None
    staged: Examined
    master: Master | None
    crippled: bool = False
    before: Mapping[str, Sighting] = field(default_factory=dict)


def prepare(order: Order, site: Site, place: Workplace) -> Plan:
    """Examine the present configuration and the staged one. Raises RefusedError, PostfixError."""
    contents = _contents(order, site)
    lay_out(place.stage, site.configuration, contents)
    if said := fixed_changes(site.configuration, place.stage):
        raise RefusedError(f"nothing was changed: {'; '.join(said)}")
    master = find_master(_queue(place.stage, site))
    present = _present(order, site, place, running=master is not None)
    crippled = present is None or present.is_broken
    lay_out(place.stage, site.configuration, contents)
    staged = examine(place.stage, site.configuration, place.words, running=master is not None and not crippled)
    said = objections(present, staged, master.listens() if master else frozenset())
    if present is not None:
        said += order.check(present, staged)
        if order.strict:
            said += gathered(_strict_objections(present, staged))
    if said:
        raise RefusedError(f"nothing was changed: {'; '.join(said)}")
    return Plan(present, staged, master, crippled=crippled)


def _present(order: Order, site: Site, place: Workplace, *, running: bool) -> Examined | None:
    """Examine what the change is based on; None where it cannot be read, and the change may be what mends it."""
    lay_out(place.stage, site.configuration, _olds(order, site))
    try:
        return examine(place.stage, site.configuration, place.words, running=running)
    except PostfixError:
        return None


def _contents(order: Order, site: Site) -> dict[str, bytes]:
    return {**_olds(order, site), **{c.path.name: c.new or b"" for c in order.changes if _is_ours(c, site)}}


def _olds(order: Order, site: Site) -> dict[str, bytes]:
    present = {name: content_of(site.configuration / name) or b"" for name in NAMES}
    return {**present, **{c.path.name: c.old or b"" for c in order.changes if _is_ours(c, site)}}


def _is_ours(change: FileChange, site: Site) -> bool:
    return change.path.parent == site.configuration and change.path.name in NAMES


def _queue(stage: Path, site: Site) -> Path:
    return Path(Postconf(stage, site.configuration).values("queue_directory")["queue_directory"])


def _strict_objections(present: Examined, staged: Examined) -> Iterator[tuple[str, str]]:
    for key, trial in present.trials.items():
        for change in changes(trial.sighting, staged.sighting(key) or Sighting()):
            yield key, f"{change}, and nothing should change for anybody"


# --- afterwards --------------------------------------------------------------------------------------------------


def verify(order: Order, plan: Plan) -> tuple[str, ...]:
    """Look at every port again and say what was not asked for; a second look where the first found something."""
    problems: tuple[str, ...] = ()
    for number in range(LOOKS):
        time.sleep(BETWEEN_LOOKS_S if number else 0)
        after = sightings(plan.staged, plan.master)
        problems = gathered(_problems(order, plan, after))
        if plan.master is not None and not plan.master.is_alive:
            return (*problems, "the Postfix master died")
        if not problems:
            return ()
    return problems


def _problems(order: Order, plan: Plan, after: Mapping[str, Sighting]) -> Iterator[tuple[str, str]]:
    for key, sighting in after.items():
        before, port = plan.before.get(key), plan.staged.ports[key]
        if order.strict and before is not None:
            said = changes(before, sighting, compared(port))
        else:
            said = unasked(before, sighting, _rehearsal(plan, port))
        yield from ((key, each) for each in said)


def _rehearsal(plan: Plan, port: Port) -> Rehearsal:
    """Say how a service behaved when it was tried; behind a postscreen that is tried stands the smtpd of now."""
    key = port.service.key
    if plan.present is None or port.service.command != "smtpd":
        return Rehearsal(None, None)
    return Rehearsal(plan.present.sighting(key), plan.staged.sighting(key))


def compared(port: Port) -> tuple[str, ...]:
    """Say what is compared of a port; what postscreen announces depends on what it remembers of a client."""
    return COMPARED if port.service.command == "smtpd" else ("banner", "secured", "certificate")


def sightings(examined: Examined | None, master: Master | None) -> dict[str, Sighting]:
    """Look at every port as a client does; nothing where Postfix does not run. No mail is begun."""
    if examined is None or master is None:
        return {}
    return {key: _visited(port) for key, port in examined.ports.items()}


def _visited(port: Port) -> Sighting:
    return visit(port.door, replace(port.knock, recipient=None))


def logs_of(site: Site, examined: Examined) -> tuple[Path, ...]:
    """Say where Postfix's words are found."""
    own = examined.basics.get("maillog_file", "")
    return (*site.logs, Path(own)) if own.startswith("/var") or Path(own).is_file() else site.logs
