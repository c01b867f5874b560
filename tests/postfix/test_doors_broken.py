"""What becomes of doors when something stops, dies, is changed or restored: each test has a mail server of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from .applying import age
from .certificates import KeyType
from .clients import TLS10_ONLY, TLS12_RSA_ONLY, TLS13_MODERN, insists
from .configuration import Settings
from .conversation import Handshake
from .doors_world import AUTOMATIC, DoorWorld
from .netns import SECOND4, SECOND6, network, why_no_namespaces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or ""),
]

STRICT, LEGACY_RSA, LEGACY = "postfix", "postfix/mailtls-legacy-rsa", "postfix/mailtls-legacy"
PEER, OTHER, STRANGER = "198.51.100.7", "2001:db8:77::8", "203.0.113.9"
KNOWN = f"""\
[[peer]]
name = ".peer.example"
level = "legacy-rsa"
reason = "their servers have no ECDSA"
owner = "kim"
until = {date.today() + timedelta(days=30)}
"""
A_MINUTE = timedelta(seconds=60)


@contextmanager
def server(**choices: object) -> Iterator[DoorWorld]:
    """A world of a test's own; pytest shows what its processes said when the test fails."""
    with network() as net, net.server, DoorWorld(net, **choices) as world:  # type: ignore[arg-type]
        try:
            yield world
        finally:
            print(world.words())
            print("\n".join(world.postfix.lines()[-40:]))


def delivers(world: DoorWorld, address: str, handshake: Handshake = TLS10_ONLY) -> bool:
    """Tell whether mail goes through; a 450 of the second lock is a no."""
    with suppress(ConnectionError):
        return world.internet.meet(insists(handshake), address).delivered
    return False


# --- stopped and killed ------------------------------------------------------------------------------------------


def test_when_all_processes_are_killed_mail_flows_and_every_waiver_ends_in_time() -> None:
    """What is left is nftables' timeouts, and the timer, which the test runs as systemd would: once a minute."""
    with server() as world:
        for address in (PEER, OTHER):
            world.allow(address, "--level", "legacy", "--for", "15s")
        world.allow("198.51.100.9", "--level", "cleartext", "--for", "15s")
        world.allow("198.51.100.10", "--level", "legacy", "--for", "1h")
        over = datetime.now(UTC) + timedelta(seconds=15)
        assert delivers(world, PEER)
        assert delivers(world, OTHER)
        world.keeper.kill()
        world.daemon.kill()

        assert delivers(world, STRANGER, TLS13_MODERN)
        world.await_(lambda: not delivers(world, PEER) and not delivers(world, OTHER), "both are back at the strict door")
        assert datetime.now(UTC) < over + A_MINUTE
        world.await_(lambda: datetime.now(UTC) > over, "the last of them is over")
        assert world.run("mailtls-keeper", "--expire-once").status == 0
        assert not world.entry("198.51.100.9")
        assert delivers(world, PEER, TLS13_MODERN)
        assert delivers(world, "198.51.100.10"), "what has time left stays, with nobody alive"
        assert delivers(world, STRANGER, TLS13_MODERN)


def test_peers_of_a_door_that_is_stopped_or_gone_are_back_at_the_strict_one_within_a_minute() -> None:
    """One is stopped by a signal (SIGSTOP), of the other a master.cf from a backup knows nothing."""
    with server() as world:
        world.allow(PEER, "--level", "legacy")
        world.allow(OTHER, "--level", "legacy-rsa")
        assert delivers(world, PEER)
        assert delivers(world, OTHER, TLS12_RSA_ONLY)
        world.forget_entry(10125)
        assert delivers(world, PEER), "so that a process of the door is there after the reload"
        stopped = world.smtpd_of(10225)
        assert stopped
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        try:
            since = datetime.now(UTC)
            for address in (PEER, OTHER):
                world.await_(lambda a=address: world.is_served(a), f"{address} is back at the strict door")
            assert datetime.now(UTC) - since < A_MINUTE
            world.await_(lambda: bool(world.sessions(PEER, STRICT)), "the strict door has logged its end")
            assert delivers(world, STRANGER, TLS13_MODERN)
            assert {each.level: each.up for each in world.doors()} == {"legacy": False, "legacy-rsa": False}
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)


# --- changed and restored ----------------------------------------------------------------------------------------


def test_waivers_are_withdrawn_as_outgrown_when_the_strict_door_takes_the_peers() -> None:
    """An RSA certificate is added to it, and TLS 1.0 allowed; a person's waiver is only advised upon."""
    with server(policy=AUTOMATIC, known=KNOWN, names={PEER: "old.peer.example"}) as world:
        world.fails(PEER, TLS12_RSA_ONLY, 3)
        world.await_step(PEER, kind="waiver", step="granted", level="legacy-rsa")
        world.fails(OTHER, TLS10_ONLY, 3)
        world.await_step(OTHER, kind="waiver", step="granted", level="legacy")
        world.allow("198.51.100.9", "--level", "legacy-rsa")
        assert delivers(world, PEER, TLS12_RSA_ONLY)
        assert delivers(world, OTHER)
        assert len(world.waived()) == 3

        chain = world.postfix.certificates[KeyType.RSA].chain
        world.edit("main.cf", "/ecdsa.pem", f"/ecdsa.pem, {chain}")
        world.edit("main.cf", ">=TLSv1.2", ">=TLSv1")
        for handshake in (TLS12_RSA_ONLY, TLS10_ONLY):
            assert delivers(world, STRANGER, handshake), "the strict door has taken it from somebody"
        world.await_(lambda: world.visits(STRANGER) == 2, "mailtlsd has seen that")
        assert delivers(world, PEER, TLS12_RSA_ONLY)
        assert delivers(world, OTHER)
        for address in (PEER, OTHER):
            world.await_step(address, kind="waiver", step="withdrawn")
            assert world.await_step(address, kind="decision", action="withdraw")["rule"] == "outgrown"
        assert delivers(world, PEER, TLS12_RSA_ONLY), "at the strict door"
        world.postfix.wait_for(rf" {STRICT}/smtpd\[\d+\]: disconnect from \S+\[{re.escape(PEER)}\]", 4)


def test_stock_debian_gets_no_useless_door_and_no_useless_waiver() -> None:
    """Its strict door has an RSA certificate and takes TLS 1.0."""
    stock = Settings(key_types=(KeyType.RSA,), protocols=">=TLSv1")
    with server(settings=stock, setup=None) as world:
        said = world.set_up()
        assert not re.findall(r"^10[12]25 ", (world.postfix.configuration / "master.cf").read_text(), re.MULTILINE)
        assert "door" in said
        assert delivers(world, PEER)
        for options in ((), ("--level", "legacy"), ("--level", "legacy-rsa")):
            ran = world.ctl("allow-legacy", PEER, *options)
            assert ran.status == 4, ran
        assert not world.waived()
        assert not world.network.server.run("nft", "list", "ruleset")


def test_postscreen_is_passed_by_by_waived_peers_and_stands_before_all_others() -> None:
    with server(entry="smtp inet n - y - 1 postscreen") as world:
        world.allow(PEER, "--level", "legacy")
        assert delivers(world, PEER)
        world.postfix.wait_for(rf" {LEGACY}/smtpd\[\d+\]: disconnect from unknown\[{re.escape(PEER)}\]")
        assert not delivers(world, STRANGER)
        lines = [line for line in world.postfix.lines() if "postscreen[" in line and "CONNECT from" in line]
        assert not [line for line in lines if f"[{PEER}]" in line]
        assert [line for line in lines if f"[{STRANGER}]" in line]


def test_a_secondary_address_has_doors_of_its_own() -> None:
    """The service listens nowhere else; `redirect` in place of `dnat` would lead its peers to the primary address."""
    entry = f"{SECOND4}:smtp inet n - y - - smtpd\n[{SECOND6}]:smtp inet n - y - - smtpd"
    with server(entry=entry) as world:
        for address, host in ((PEER, SECOND4), (OTHER, SECOND6)):
            assert not world.internet.meet(insists(TLS10_ONLY), address, host).delivered
            world.allow(address, "--level", "legacy")
            assert world.internet.meet(insists(TLS10_ONLY), address, host).delivered
            world.postfix.wait_for(rf" {LEGACY}/smtpd\[\d+\]: disconnect from unknown\[{re.escape(address)}\]")


def test_tables_that_a_backup_brings_back_let_nobody_in() -> None:
    """They are the second lock only; and the keeper makes them say again what stands."""
    with server() as world:
        world.allow(PEER, "--level", "legacy")
        tables, backup = world.postfix.configuration / "mailtls", world.root / "backup"
        shutil.copytree(tables, backup)
        assert world.ctl("revoke", PEER).status == 0
        world.allow(OTHER, "--level", "legacy")
        shutil.copytree(backup, tables, dirs_exist_ok=True)
        assert not delivers(world, PEER)
        assert delivers(world, STRANGER, TLS13_MODERN)
        world.await_(lambda: delivers(world, OTHER), f"{OTHER} is let in again")


def test_a_backup_of_etc_from_before_setup_closes_the_doors_and_mail_flows() -> None:
    with server(setup=None) as world:
        backup = world.root / "backup"
        shutil.copytree(world.root / "etc", backup)
        world.set_up("--self-signed")
        world.allow(PEER, "--level", "legacy")
        assert delivers(world, PEER)
        for name in ("postfix/master.cf", "postfix/main.cf"):
            shutil.copy(backup / name, world.root / "etc" / name)
            age(world.root / "etc" / name)
        Path(world.root, "etc/mailtls/postfix.toml").unlink()
        assert world.ctl("reload").status == 0
        assert delivers(world, STRANGER, TLS13_MODERN)
        world.await_(lambda: world.is_served(PEER), f"{PEER} is back at the strict door")
        refused = world.ctl("allow-legacy", PEER, "--level", "legacy")
        assert refused.status == 4
        assert "mailtlsctl setup" in refused.complained
