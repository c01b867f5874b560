"""Deriving what `setup` made once more, when the service that it comes from changes: doors, and the keeper's view.

`edit` and `reload` do it in the transaction that changes the service, for the doors that there are: none comes, and
none goes, since sessions would be cut. `drift` says what an edit in place has left behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mailtls.core.doorentry import differences
from mailtls.core.mastercf import parse_master_cf
from mailtls.core.postfixview import PostfixSettings
from mailtls.edge.stage import lay_out
from mailtls.edge.swapfile import content_of
from mailtls.errors import RefusedError
from mailtls.service.applyleave import settings_of
from mailtls.service.applyplan import FileChange
from mailtls.service.applysetup import Change, SetupRoom, plan_setup
from mailtls.service.setuprecord import Record, read_record


@dataclass(frozen=True, slots=True)
class Derived:
    """What a change of main.cf or master.cf entails: other files' changes, and what is said of it."""

    changes: tuple[FileChange, ...] = ()
    notes: tuple[str, ...] = ()

    def over(self, edited: Iterable[FileChange]) -> tuple[FileChange, ...]:
        """Put these changes behind those of an edit; where both change a file it becomes what was derived."""
        ours = {each.path: each for each in self.changes}
        first = tuple(replace(each, new=ours.pop(each.path, each).new) for each in edited)
        return (*first, *ours.values())


Derive = Callable[[Mapping[str, bytes]], Derived]
"""Says what contents of main.cf and master.cf (by name) entail."""


def nothing(_: Mapping[str, bytes]) -> Derived:
    """Derive nothing: where nothing was set up."""
    return Derived()


def derive(room: SetupRoom, contents: Mapping[str, bytes]) -> Derived:
    """Say what these contents of main.cf and master.cf entail. Raises RefusedError, PostfixError: it cannot be told."""
    record = read_record(room.record)
    if record is None or record.configuration != str(room.site.configuration):
        return Derived()
    standing = settings_of(room.view, content_of(room.view))
    if standing is None or not {key for key, _ in record.doors} <= {door.entry for door in standing.doors}:
        raise RefusedError(f"{room.view} does not name the doors that there are")
    with tempfile.TemporaryDirectory(prefix="derive-", dir=room.site.workplace) as place:
        stage = lay_out(Path(place) / "stage", room.site.configuration, contents)
        change = _planned_again(replace(room, stage=stage), record, standing)
    if gone := sorted({door.entry for door in standing.doors} - change.entries):
        raise RefusedError(f"{', '.join(gone)} would not be needed any more, and would go")
    if change.doors is not None and change.doors.missing is not None:
        raise RefusedError(f"{change.doors.missing.certificate} is not there")
    return _of(room, record, change, contents["master.cf"])


def _planned_again(room: SetupRoom, record: Record, standing: PostfixSettings) -> Change:
    levels = tuple(dict.fromkeys(door.level for door in standing.doors))
    return plan_setup(replace(room, services=record.services, doors=replace(room.doors, levels=levels)))


def _of(room: SetupRoom, record: Record, change: Change, master: bytes) -> Derived:
    """Give the changes; nothing where all that setup wrote down is as it was, whatever somebody did to a door since."""
    by_path = {each.path: each for each in change.order.changes}
    view, written = by_path.pop(room.view), by_path.pop(room.record)
    renewed = Record.model_validate_json(written.new or b"").model_copy(update={"levels": record.levels})
    if renewed == record and view.new == view.old:
        return Derived()
    (entries,) = by_path.values()
    record_bytes = renewed.model_dump_json(indent=1).encode("utf-8", "surrogatepass") + b"\n"
    changes = (view, replace(written, new=record_bytes), *((entries,) if entries.new != master else ()))
    moved = [door.key for door in renewed.placed if door not in record.placed]
    said = (
        f"What the port-25 service is has changed, and so {', '.join(moved)} of master.cf {_were(moved)} derived again."
        if moved
        else "What mailtls knows of the port-25 service was brought up to date."
    )
    return Derived(tuple(each for each in changes if each.old != each.new), (*change.undone, said))


def _were(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"


# --- drift -------------------------------------------------------------------------------------------------------


def drift(room: SetupRoom) -> tuple[str, ...]:
    """Say in clauses what of setup is not what it would make now. Raises RefusedError."""
    record = read_record(room.record)
    if record is None:
        return ()
    text = (content_of(room.site.configuration / "master.cf") or b"").decode("utf-8", "surrogateescape")
    change = plan_setup(replace(room, services=record.services, doors=replace(room.doors, levels=None)))
    wanted = {door.key: door.text for door in change.doors.made} if change.doors is not None else {}
    master = parse_master_cf(text)
    view = settings_of(room.view, content_of(room.view))
    led_to = {door.entry for door in view.doors} if view is not None else set()
    struck = tuple(
        f"door {key} of master.cf: {room.view} does not name it, so that nobody is led to it, as if a setup was cut "
        "off; run mailtlsctl setup"
        for key, _ in record.doors
        if key not in led_to
    )
    drifted = tuple(
        f"door {key} of master.cf: {clause}; run mailtlsctl setup"
        for key, _ in record.doors
        for clause in (differences(master, key, wanted[key]) if key in wanted else ("it is not needed any more",))
    )
    return (*struck, *drifted, *_outdated(room, change, record), *_stale(room, change, view))


def _outdated(room: SetupRoom, change: Change, record: Record) -> tuple[str, ...]:
    """Say which options of ours copy a value that main.cf has changed since: on port 25 the former one still holds."""
    planned = next(each.new for each in change.order.changes if each.path == room.record)
    renewed = Record.model_validate_json(planned or b"")
    meant = {(service, parameter): words for service, parameter, words, _ in (*renewed.insertions, *renewed.hooks)}
    return tuple(
        f"{parameter} of {service} in master.cf holds what main.cf said once; run mailtlsctl setup"
        for service, parameter, words, whole in (*record.insertions, *record.hooks)
        if whole and meant.get((service, parameter), words) != words
    )


def _stale(room: SetupRoom, change: Change, view: PostfixSettings | None) -> tuple[str, ...]:
    """Say which words of the view are not so any more; its doors are looked at one by one."""
    new = next(each.new for each in change.order.changes if each.path == room.view)
    meant = settings_of(room.view, new)
    if view is None or meant is None:
        return ()
    fields = [name for name in PostfixSettings.model_fields if name != "doors" and _differ(view, meant, name)]
    return (f"{room.view} is not so any more: {', '.join(fields)}; run mailtlsctl setup",) if fields else ()


def _differ(one: PostfixSettings, other: PostfixSettings, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
