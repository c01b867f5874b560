"""The doors in `mailtlsctl status`: which there are, whether they serve, for how many, and what they take.

What `setup` made is in `/etc/mailtls/postfix.toml`; whether it serves is the keeper's to say. Without the keeper that
is not known, and is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mailtls.core.keeperprotocol import DoorState, Health, Message
from mailtls.core.level import Level
from mailtls.core.offer import beyond, in_vain
from mailtls.core.postfixview import Doorway, Offering, PostfixSettings
from mailtls.ctl.screen import Screen, figure, heading, plural, table, text


class DoorStatus(Message):
    """One door. `up`: None while the keeper does not say; `beyond`: what it takes and the strict door does not.

    `trusted`: its certificate is signed by an authority that this system trusts. `beyond` None: `setup` has not looked.
    """

    level: Level
    port: int
    addresses: tuple[str, ...] = ()
    entry: str = ""
    up: bool | None = None
    why_not: str | None = None
    waivers: int | None = None
    trusted: bool = False
    beyond: Offering | None = None


def doors_of(view: PostfixSettings, health: Health | None) -> tuple[DoorStatus, ...]:
    """Put together what `setup` made and what the keeper says; a door that only the keeper knows comes last."""
    states = {state.level: state for state in health.doors} if health is not None else {}
    made = [_status(door, states.pop(door.level, None), view.strict, health) for door in view.doors]
    others = (
        DoorStatus(level=each.level, port=each.port, up=each.up, why_not=each.why_not, waivers=_waivers(each, health))
        for each in states.values()
    )
    return (*made, *others)


def _status(door: Doorway, state: DoorState | None, strict: Offering | None, health: Health | None) -> DoorStatus:
    return DoorStatus(
        level=door.level, port=door.port, addresses=door.addresses, entry=door.entry, trusted=door.trusted,
        up=state.up if state is not None else None, why_not=state.why_not if state is not None else None,
        waivers=_waivers(door, health), beyond=beyond(door.offers, strict) if strict is not None else None,
    )  # fmt: skip


def _waivers(door: Doorway | DoorState, health: Health | None) -> int | None:
    return health.waivers.get(door.level, 0) if health is not None else None


def doors_page(doors: tuple[DoorStatus, ...], view: Screen) -> Iterator[str]:
    """Print the doors; nothing where there are none."""
    if not doors:
        return
    rows = [(str(door.port), _count(door.waivers), door.level, _state(door), _takes(door)) for door in doors]
    yield view.render(heading("Doors"), table(("port", "waivers", "level", "state", "beyond strict"), rows, numbers=2))
    if any(door.level is Level.SSLV3 for door in doors):
        yield view.render(text("What comes through the sslv3 door can be broken: take it for readable."))
    for door in doors:
        if door.up is False:
            yield view.render(text(f"The {door.level} door does not serve: {door.why_not or 'its probe failed'}"))


def no_doors(view: PostfixSettings) -> str:
    """Say why there are none."""
    if view.strict is None:
        return "none; setup has not looked at what Postfix offers: mailtlsctl setup"
    vain = in_vain(Level.LEGACY, view)
    return f"none; {vain}" if vain is not None else "none; to make them: mailtlsctl setup"


def no_sslv3_door(view: PostfixSettings, why_not: Callable[[], str | None]) -> str | None:
    """Say in a clause why there is no gateway, or why it serves no more; None where it may, or nobody has looked.

    `why_not`: says what NSS on this machine lacks, None where it has all. A door that the site serves needs none.
    """
    if view.strict is None:
        return None
    if (door := view.door(Level.SSLV3)) is not None:
        return why_not() if door.entry else None
    return why_not() or "none was made; why, says mailtlsctl setup --dry-run"


def _count(waivers: int | None) -> str:
    return figure(waivers) if waivers is not None else "-"


def _state(door: DoorStatus) -> str:
    return {True: "serves", False: "DOWN", None: "not known"}[door.up]


def _takes(door: DoorStatus) -> str:
    """Say what the door takes beyond the strict one, and whose certificate it has."""
    words = []
    if door.beyond is not None:
        more = door.beyond
        words += [", ".join(more.versions)] if more.versions else []
        words += [f"{' and '.join(more.certificates)} certificate"] if more.certificates else []
        words += [plural(len(more.ciphers), "suite")] if more.ciphers else []
    words += [] if door.trusted else ["certificate not publicly trusted"]
    return "; ".join(words)
