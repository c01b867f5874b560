"""The real program, asked by real users: a daemon that was taken over, strangers, expiry without it, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.edge.tables import needs
from tests.service.keeperhouse import (
    ADMINS_GID,
    STRANGER_UID,
    KeeperHouse,
    automatic,
    grant,
    later,
    wait_until,
)
from tests.tabletypes import KIND

pytestmark = [
    pytest.mark.postfix,
    needs(KIND),
    pytest.mark.skipif(os.geteuid() != 0, reason="being several users needs root"),
]


@pytest.fixture
def house() -> Iterator[KeeperHouse]:
    with KeeperHouse() as house:
        yield house


def test_a_daemon_that_was_taken_over_gets_no_more_than_the_policy(house: KeeperHouse) -> None:
    """As uid of mailtlsd, and in the operators' group: its uid makes it the daemon all the same."""
    house.start()
    house.ask(grant("192.0.2.99"), {"op": "withdraw", "network": "192.0.2.99"})
    wanted = {
        "sslv3": automatic("192.0.2.1", level="sslv3"),
        "a never network": automatic("10.1.2.3"),
        "everybody": automatic("0.0.0.0/0", id="x"),
        "everybody, IPv6": automatic("::/0", id="x"),
        "a network": automatic("192.0.2.0/30", id="x"),
        "the year 9999": automatic("192.0.2.1", until="9999-12-31T00:00:00Z", latest="9999-12-31T00:00:00Z"),
        "a latest in the year 9999": automatic("192.0.2.1", latest="9999-12-31T00:00:00Z"),
        "what a person revoked": automatic("192.0.2.99"),
        "what a person gave": {"op": "withdraw", "id": "person-192.0.2.50"},
        "by network": {"op": "withdraw", "network": "192.0.2.50"},
    }
    house.ask(grant("192.0.2.50"))
    replies = dict(zip(wanted, house.ask_as_daemon(*wanted.values()), strict=True))
    assert {what: reply.refused for what, reply in replies.items() if reply.ok} == {}
    within = house.ask_as_daemon(*(automatic(f"192.0.2.{number}") for number in range(1, 22)))
    assert [reply.ok for reply in within] == [True] * 20 + [False]
    ended = {"op": "withdraw", "id": "policy-192.0.2.1"}
    assert [reply.ok for reply in house.ask_as_daemon(ended, automatic("192.0.2.21"))] == [True, False]
    assert house.looked_up("192.0.2.50", "10.1.2.3", "192.0.2.99", "192.0.2.21", "192.0.2.2") == {
        "192.0.2.50": "starttls", "192.0.2.2": "starttls",
    }  # fmt: skip


def test_the_quota_and_revocations_hold_over_kill_9(house: KeeperHouse) -> None:
    process = house.start()
    house.ask(grant("192.0.2.99"), {"op": "withdraw", "network": "192.0.2.99"})
    house.ask_as_daemon(*(automatic(f"192.0.2.{number}") for number in range(1, 21)))
    house.kill(process)
    house.start()
    refused = [reply.refused or "" for reply in house.ask_as_daemon(automatic("192.0.2.21"), automatic("192.0.2.99"))]
    assert "limits.per_day" in refused[0]
    assert "A person ended" in refused[1]


def test_members_of_the_operators_group_are_persons_and_owners(house: KeeperHouse) -> None:
    house.start()
    (reply,) = house.ask_as(STRANGER_UID, grant(), groups=(ADMINS_GID,))
    assert reply.live
    assert reply.waiver is not None
    assert reply.waiver.owner == f"uid {STRANGER_UID}"


def test_strangers_cannot_connect_and_get_no_word_where_they_can(house: KeeperHouse) -> None:
    house.start()
    assert house.ask_as(STRANGER_UID, grant()) == []
    house.socket.chmod(0o666)
    (reply,) = house.ask_as(STRANGER_UID, grant())
    assert "you are none of them" in (reply.refused or "")
    assert house.ask({"op": "list"}).waivers == ()


def test_the_list_is_the_same_after_kill_9(house: KeeperHouse) -> None:
    process = house.start()
    house.ask(grant("192.0.2.1"), grant("192.0.2.16/28"))
    standing = house.ask({"op": "list"}).waivers
    house.kill(process)
    house.start()
    assert house.ask({"op": "list"}).waivers == standing
    assert len(standing) == 2


def test_waivers_end_without_a_keeper_by_expire_once(house: KeeperHouse) -> None:
    process = house.start()
    house.ask(grant("192.0.2.1", until=later(seconds=1.2)), grant("192.0.2.2"))
    house.kill(process)
    time.sleep(1.3)  # the waiver's own end
    assert house.looked_up("192.0.2.1") == {"192.0.2.1": "starttls"}
    done = house.run("--expire-once")
    assert done.returncode == 0, done.stderr
    assert house.looked_up("192.0.2.1", "192.0.2.2") == {"192.0.2.2": "starttls"}
    house.start()
    assert [event.step for event in house.ask({"op": "events"}).events] == ["granted", "granted", "expired"]


def test_expire_once_beside_a_running_keeper_does_no_harm(house: KeeperHouse) -> None:
    house.start()
    for number in range(5):
        assert house.ask(grant(f"192.0.2.{number}")).live
        assert house.run("--expire-once").returncode == 0
    assert len(house.ask({"op": "list"}).waivers) == 5
    assert [event.number for event in house.ask({"op": "events"}).events] == [1, 2, 3, 4, 5]


def test_expire_once_mends_tables_that_are_gone(house: KeeperHouse) -> None:
    process = house.start()
    house.ask(grant())
    house.kill(process)
    for path in house.config.places.tables.iterdir():
        path.unlink()
    assert house.run("--expire-once").returncode == 0
    assert house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}


def test_expire_once_says_what_it_could_not_do(house: KeeperHouse) -> None:
    (house.root / "etc" / "postfix").chmod(0o777)
    done = house.run("--expire-once")
    assert done.returncode == 1
    assert "may be written by others" in done.stderr
    assert "Traceback" not in done.stderr


def test_ensure_tables_makes_an_empty_pair_and_no_ledger_is_needed(house: KeeperHouse) -> None:
    done = house.run("--ensure-tables")
    assert done.returncode == 0, done.stderr
    assert house.looked_up("192.0.2.7") == {}


def test_tables_that_several_make_at_once_are_made_and_nobody_fails(house: KeeperHouse) -> None:
    """As when a machine starts: the unit before Postfix, and the errand of every minute."""
    errands = ("--ensure-tables", "--expire-once") * 3
    begun = [subprocess.Popen(house.command(each), stderr=subprocess.PIPE, text=True) for each in errands]
    said = [(each.communicate(timeout=60)[1], each.returncode) for each in begun]
    assert [status for _, status in said] == [0] * len(errands), said
    assert house.looked_up("192.0.2.7") == {}


def test_sigterm_ends_it_within_a_second_and_leaves_the_tables(house: KeeperHouse) -> None:
    process = house.start()
    house.ask(grant())
    started = time.monotonic()
    process.terminate()
    assert process.wait(10) == 0
    assert time.monotonic() - started < 1
    assert house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}
    assert "Traceback" not in house.words.read_text()


def test_sighup_makes_it_look_at_the_file_at_once(house: KeeperHouse) -> None:
    process = house.start()
    house.write_known(
        '[[peer]]\nnetwork = "192.0.2.7"\nlevel = "cleartext"\nreason = "x"\nowner = "y"\nuntil = 2099-01-01\n'
    )
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: bool(house.looked_up("192.0.2.7")))


def test_a_second_keeper_does_not_start(house: KeeperHouse) -> None:
    house.start()
    second = house.run()
    assert second.returncode == 1
    assert "runs already" in second.stderr
    assert house.ask({"op": "status"}).ok


@pytest.mark.parametrize(
    ("text", "words"),
    [("nonsense", "this is not TOML"), ("[postfix]\ntable_tpye = 'hash'\n", 'did you mean "table_type"')],
)
def test_a_configuration_that_cannot_be_followed_is_a_sentence(house: KeeperHouse, text: str, words: str) -> None:
    house.toml.write_text(text)
    done = house.run()
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_it_tells_systemd_that_it_is_ready_and_how_it_fares(house: KeeperHouse) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(house.root / "notify"))
        notify.settimeout(20)
        process = house.start(NOTIFY_SOCKET=str(house.root / "notify"))
        assert notify.recv(4096) == b"READY=1"
        assert b"STATUS=0 waivers stand" in notify.recv(4096)
        process.terminate()
        while (told := notify.recv(4096)) != b"STOPPING=1":
            assert told.startswith(b"WATCHDOG=1")
        assert isinstance(process, subprocess.Popen)


def test_waivers_end_while_the_view_of_postfix_is_broken(house: KeeperHouse) -> None:
    process = house.start()
    assert house.ask(grant(until=later(seconds=2))).live
    (house.root / "etc" / "mailtls" / "postfix.toml").write_text("nonsense")
    house.kill(process)

    def is_over() -> bool:
        assert house.run("--expire-once").returncode == 0
        return house.looked_up("192.0.2.7") == {}

    wait_until(is_over)
    house.start()
    faults = {fault.kind: fault.sentence for fault in house.ask({"op": "status"}).health.faults}  # type: ignore[union-attr]
    assert "mailtlsctl setup" in faults["view"]
