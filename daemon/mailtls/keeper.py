"""mailtls-keeper: the program. Wires the keeper together, and runs it, or does one of its short errands.

    mailtls-keeper                   serve, in the foreground, until SIGTERM; SIGHUP looks at files and doors at once
    mailtls-keeper --expire-once     end what is over, and mend the tables, whether a keeper runs or not
    mailtls-keeper --ensure-tables   before Postfix starts: make an empty valid table where one is missing

Exit status: 0 done; 1 the tables could not be made right, or a keeper runs already; 2 configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from mailtls import __version__
from mailtls.config import Config, Places, read_config
from mailtls.core.doorset import networks_of
from mailtls.core.postfixview import PostfixSettings
from mailtls.edge.credentials import requester
from mailtls.edge.keeperlistener import own_socket, passed_socket
from mailtls.edge.ledger import Ledger
from mailtls.edge.loglines import NOTICE, PRIORITIES, begin_logging
from mailtls.edge.nftables import Nftables, removals
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.edge.owntables import OwnTables
from mailtls.edge.postmap import Postmap
from mailtls.edge.posttable import PostTables
from mailtls.edge.rootowned import ownership_fault
from mailtls.edge.sdnotify import Notifier
from mailtls.edge.standingview import StandingView
from mailtls.edge.standingwill import StandingWill
from mailtls.edge.tcpsockets import sessions
from mailtls.errors import ConfigError, FirewallError, MailtlsError, StoreError
from mailtls.service.doorremedy import DoorRemedy
from mailtls.service.doortable import DoorTable
from mailtls.service.keeper import LOCK_PATIENCE_S, Keeper, Means
from mailtls.service.reception import Reception
from mailtls.service.remedies import Maker, Remedies
from mailtls.service.remedy import CleartextRemedy

DONE, FAILED, MISCONFIGURED = 0, 1, 2
GUARD_ANEW_S = 2.0
LOG = logging.getLogger("mailtls.keeper")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; give its exit status."""
    asked = _parser().parse_args(arguments)
    os.umask(0o022)
    # What the errand of every minute does is noticed, although its unit keeps everyday information from the journal.
    begin_logging("mailtls-keeper", info=NOTICE if asked.expire_once else PRIORITIES[logging.INFO])
    try:
        config = read_config(asked.config, as_set_up=False)
        if asked.ensure_tables:
            return _ensure_tables(config)
        if asked.expire_once:
            return asyncio.run(_expire_once(config))
        return asyncio.run(_serve(config))
    except ConfigError as error:
        LOG.error("%s", error)  # noqa: TRY400 - a sentence for an operator, not a traceback
        return MISCONFIGURED
    except MailtlsError as error:
        LOG.error("%s", error)  # noqa: TRY400
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mailtls-keeper", description="Keeps the waivers, and the tables Postfix reads.")
    parser.add_argument("--config", metavar="FILE", help="mailtls.toml, in place of /etc/mailtls/mailtls.toml")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground, which is the default")
    parser.add_argument("--version", action="version", version=f"mailtls-keeper {__version__}")
    errand = parser.add_mutually_exclusive_group()
    errand.add_argument("--expire-once", action="store_true", help="end what is over, mend the tables, and leave")
    errand.add_argument("--ensure-tables", action="store_true", help="make missing tables, empty and valid, and leave")
    return parser


def means_of(config: Config, *, only_ends: bool = False) -> Means:
    """Put together what the keeper works with; makes its own directory. Raises ConfigError."""
    places = config.places
    state = places.keeper_state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{state}: {(error.strerror or '').lower()}; the keeper runs as root") from error
    if fault := ownership_fault(state, places.root):
        raise ConfigError(f"the keeper's list is not safe: {fault}")
    view = StandingView(places.postfix_view, config.section, places.root)
    return Means(
        ledger=Ledger(state),
        remedies=Remedies(
            view, _maker(places), only_ends=only_ends, board=NoticeBoard(places.keeper_socket.parent)
        ),
        will=StandingWill(places.policy, places.root, state / "last-good"),
    )


def _maker(places: Places) -> Maker:
    """Give what makes the remedies from a view; what they have in common outlives each view."""
    postmap, table = Postmap(places.keeper_state / "postmap"), DoorTable(Nftables(), sessions)

    def make(settings: PostfixSettings) -> tuple[CleartextRemedy, DoorRemedy]:
        pair = PostTables(places.tables, places.root, settings.table_type, postmap)
        own = OwnTables(settings.discard_maps, postmap)
        return (
            CleartextRemedy(pair, own, settings.discard_keywords),
            DoorRemedy(settings.doors, networks_of(settings.own_networks), pair.beside, table),
        )

    return make


def _ensure_tables(config: Config) -> int:
    means = means_of(config)
    _wait_for_the_others(means.ledger)
    for made in means.remedies.ensure():
        LOG.info("%s was missing or broken: made, and empty", made)
    return DONE


def _wait_for_the_others(ledger: Ledger) -> None:
    """Let a keeper, or the errand of every minute, finish with the tables; but Postfix does not wait for ever."""
    deadline = monotonic() + LOCK_PATIENCE_S
    with suppress(StoreError):  # the tables do not need the list
        while not ledger.try_hold() and monotonic() < deadline:
            sleep(0.02)


async def _expire_once(config: Config) -> int:
    keeper = Keeper(means_of(config, only_ends=True))
    await keeper.round()
    return DONE if keeper.is_right() else FAILED


async def _serve(config: Config) -> int:
    means, places = means_of(config), config.places
    alone = _alone(places.keeper_state / "keeper.lock")
    await means.remedies.watch.look()
    keeper = Keeper(means)
    await keeper.round()
    users = config.users
    listening = passed_socket() or own_socket(places.keeper_socket, users.daemon, users.admins)
    reception = Reception(keeper, lambda client: requester(client, users.daemon, users.admins))
    loop, main_task = asyncio.get_running_loop(), asyncio.current_task()
    assert main_task is not None  # noqa: S101 - inside asyncio.run
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, main_task.cancel)
    loop.add_signal_handler(signal.SIGHUP, keeper.look_again)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(keeper.run())
            group.create_task(reception.run(listening))
            group.create_task(means.remedies.watch.run())
            group.create_task(_guard(keeper, means.remedies))
            group.create_task(_notify(keeper))
    except asyncio.CancelledError:
        Notifier().send("STOPPING=1")
        LOG.info("stopping; tables and doors stay as they are")
    finally:
        means.remedies.interrupt()
        os.close(alone)
    return DONE


def _alone(path: Path) -> int:
    """Take the lock that one serving keeper holds as long as it lives. Raises StoreError."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why = (error.strerror or "it cannot be written").lower()
        raise StoreError(f"{path}: {why}; the keeper has to write here") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError("a mailtls-keeper runs already; see: systemctl status mailtls-keeper") from None
    return handle


async def _guard(keeper: Keeper, remedies: Remedies) -> None:
    """Wake the keeper when somebody flushes the table that leads to the doors; it compares now and then anyway."""
    while True:
        if remedies.doors.levels:
            with suppress(FirewallError):  # the keeper's own rounds say what is wrong with nftables
                async for _ in removals():
                    keeper.wake()
        await asyncio.sleep(GUARD_ANEW_S)


async def _notify(keeper: Keeper) -> None:
    """Tell systemd that the keeper serves, how it fares, and that it lives (sd_notify(3))."""
    notifier = Notifier()
    watchdog = notifier.watchdog_seconds
    notifier.send("READY=1")
    said = ""
    while True:
        status = f"STATUS={keeper.status_line()}"
        news = (("WATCHDOG=1",) if keeper.is_alive() else ()) + ((status,) if status != said else ())
        if news:
            notifier.send(*news)
        said = status
        await asyncio.sleep(min(5.0, watchdog / 2) if watchdog else 5.0)


if __name__ == "__main__":
    sys.exit(main())
