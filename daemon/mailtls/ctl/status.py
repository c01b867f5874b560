"""`mailtlsctl status`: how mailtlsd and the keeper fare, on one screen; what needs a person stands first.

Both are asked at once. Where one does not answer, the other is still told, and the exit status is 3. The JSON is the
model `StatusPage` (docs/control.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from mailtls.config import Places
from mailtls.core.controlprotocol import AskStatus, ObserverStatus, SourceStatus, Status
from mailtls.core.keeperprotocol import Fault, Health, KeeperStatus, Message
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.printable import printable
from mailtls.ctl import UNREACHABLE, output
from mailtls.ctl.doors import DoorStatus, doors_of, doors_page, no_doors, no_sslv3_door
from mailtls.ctl.inquiry import places_of
from mailtls.ctl.known import local
from mailtls.ctl.screen import BAD, GOOD, Screen, figure, heading, plural, sentence, table, text
from mailtls.edge.controlsocket import ControlSocket
from mailtls.edge.keepersocket import KeeperSocket
from mailtls.edge.nss import capability
from mailtls.errors import MailtlsError

PATIENCE_S = 5.0
_USUAL = frozenset({"following", "waiting"})  # states of a source that need nobody


class StatusPage(Message):
    """The whole answer. `mailtlsd`, `keeper`: null where they do not answer, and then `unreachable` says why.

    `doors`: those beside the strict one, by what `setup` made and what the keeper says; `no_sslv3_door`: why there is
    no gateway, null where there is one or `setup` has not looked.
    """

    mailtlsd: Status | None
    keeper: Health | None
    unreachable: tuple[str, ...]
    doors: tuple[DoorStatus, ...] = ()
    no_sslv3_door: str | None = None


def status(*, as_json: bool, config: str | None) -> int:
    """Print how mailtlsd and the keeper fare; 3 where one of them does not answer. Raises ConfigError."""
    places = places_of(config)
    page = asyncio.run(_look(places))
    for complaint in page.unreachable:
        output.complain(complaint)
    if as_json:
        output.write_json(page.model_dump_json(indent=1))
    else:
        output.write(_pages(page, places.config.postfix, Screen()))
    return UNREACHABLE if page.unreachable else 0


async def _look(places: Places) -> StatusPage:
    fares, said = await asyncio.gather(_daemon(places), _keeper(places))
    health = said if isinstance(said, Health) else None
    return StatusPage(
        mailtlsd=fares if isinstance(fares, Status) else None,
        keeper=health,
        unreachable=tuple(each for each in (fares, said) if isinstance(each, str)),
        doors=doors_of(places.config.postfix, health),
        no_sslv3_door=no_sslv3_door(places.config.postfix, capability),
    )


async def _daemon(places: Places) -> Status | str:
    try:
        answer = await ControlSocket(places.control, PATIENCE_S).ask(AskStatus())
    except MailtlsError as error:
        return str(error)
    return answer.status or f"mailtlsd at {places.control} answered without its status"


async def _keeper(places: Places) -> Health | str:
    try:
        reply = await KeeperSocket(places.keeper_socket, PATIENCE_S).ask(KeeperStatus())
    except MailtlsError as error:
        return str(error)
    return reply.health or f"mailtls-keeper does not say how it fares: {reply.refused}"


def _pages(page: StatusPage, postfix: PostfixSettings, view: Screen) -> Iterator[str]:
    yield view.render(*_heads(page))
    faults = list(_faults(page))
    if faults:
        yield view.render(heading("Needs a person", BAD), *(text(fault) for fault in faults))
    if page.mailtlsd is not None:
        yield from _daemon_pages(page.mailtlsd, view)
    if page.keeper is not None:
        yield from _keeper_pages(page.keeper, "" if page.doors else no_doors(postfix), view)
    yield from doors_page(page.doors, view)
    if page.no_sslv3_door is not None:
        yield view.prose(f"No sslv3 door: {page.no_sslv3_door}.")


def _heads(page: StatusPage) -> Iterator[Text]:
    fares, health = page.mailtlsd, page.keeper
    if fares is None:
        yield sentence("mailtlsd        ", ("DOES NOT ANSWER: nothing is decided or renewed", BAD))
    else:
        said = f" since {local(fares.since)}, version {fares.version}, process {fares.pid}"
        yield sentence("mailtlsd        ", ("runs", GOOD), said)
    if health is None:
        yield sentence("mailtls-keeper  ", ("DOES NOT ANSWER: no waiver can be given or revoked", BAD))
    else:
        yield sentence("mailtls-keeper  ", ("runs", GOOD), f" since {local(health.since)}")


def _faults(page: StatusPage) -> Iterator[str]:
    """Say what does not work, the server's own fault first; nothing twice."""
    fares, told = page.mailtlsd, list[Fault]()
    if fares is not None:
        if fares.server_fault is not None:
            yield f"The server itself is at fault: {fares.server_fault}"
        if not fares.remembers:
            yield "mailtlsd cannot remember what it sees; it goes on watching."
        if not fares.keeper and page.keeper is not None:
            yield "mailtlsd does not reach the keeper: nothing is granted or renewed by the policy."
        told += fares.faults
        for source in fares.sources:
            if source.state not in _USUAL:
                yield f"{source.source} is {source.state}. {source.said}"
    if page.keeper is not None:
        told += page.keeper.faults
    yield from dict.fromkeys(f"{fault.kind}: {fault.sentence}" for fault in told)


def _daemon_pages(fares: Status, view: Screen) -> Iterator[str]:
    rows = [_source(source) for source in fares.sources]
    yield view.render(heading("Logs"), table(("lag", "lines", "last line", "state", "log"), rows, numbers=3))
    if not rows:
        yield view.render(text("No log is followed: see [log] in mailtls.toml.", BAD))
    states = ", ".join(f"{figure(count)} {state}" for state, count in sorted(fares.peers.items())) or "none yet"
    failed = f"{figure(fares.sessions)} since it runs, {figure(fares.failures)} of them failed"
    rest = ("Sessions", failed), ("Waivers", _waivers(fares.waivers)), ("Policy", fares.policy)
    seen = (("Hellos", _hellos(fares.observer)),) if fares.observer is not None else ()
    yield view.render(text(""), _fields((("Peers", states), *rest, *seen)))


def _hellos(observer: ObserverStatus) -> str:
    if not observer.running:
        return "mailtls-observer is silent: systemctl status mailtls-observer"
    words = f"{figure(observer.hellos)} seen, {figure(observer.matched)} matched with sessions"
    words += f", {figure(observer.lost)} lost" if observer.lost else ""
    if not observer.ports_logged:
        words += "; with smtpd_client_port_logging = yes in main.cf each would be matched exactly"
    return words


def _source(source: SourceStatus) -> tuple[str, str, str, str, str]:
    lag = f"{source.lag_seconds:.1f} s"
    return lag, figure(source.lines), local(source.last_line), source.state, source.source


def _keeper_pages(health: Health, doors: str, view: Screen) -> Iterator[str]:
    waivers = f"{_waivers(health.waivers)}; {plural(health.last_event, 'event')} so far"
    tables = "\n".join(printable(name) for name in health.tables) or "none"
    rows = [("Waivers", waivers), ("Tables", tables), ("Policy", health.policy)]
    rows += [("Doors", doors)] if doors else []
    if health.conntrack is not None:
        rows.append(("Connections", f"{health.conntrack:.0%} of what the kernel can track"))
    yield view.render(heading("Keeper"), _fields(rows))


def _fields(rows: Iterable[tuple[str, str]]) -> Table:
    """Lay out names and what they stand for, folded beside the names."""
    layout = Table.grid(padding=(0, 2, 0, 0))
    layout.add_column(no_wrap=True, min_width=8)
    layout.add_column(overflow="fold")
    for name, words in rows:
        layout.add_row(text(name), Text("\n").join(text(line) for line in words.split("\n")))
    return layout


def _waivers(counts: dict[Level, int]) -> str:
    return ", ".join(f"{figure(count)} {level}" for level, count in counts.items() if count) or "none"
