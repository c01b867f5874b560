"""pymilter and the real libmilter, from the MTA's side: what is asked for, what is answered, what is never waited for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailtls.core.cause import Door
from mailtls.core.factsparcel import FactsParcel
from mailtls.core.level import Level
from mailtls.core.milterdialogue import LONGEST, MACROS
from mailtls.core.peermap import PeerMap
from mailtls.core.smtpfacts import Stage
from mailtls.core.snapshotfile import VERSION
from mailtls.core.verdict import (
    HEADER,
    Answer,
    Ground,
    Guard,
    Proof,
    Requirement,
    Snapshot,
    Terms,
    WaiverLimits,
)

from . import mta
from .milterprocess import LIBRARY, MilterProcess
from .mta import CONTINUE, Mta

pytestmark = pytest.mark.skipif(not LIBRARY, reason="pymilter is not installed (Debian's python3-milter)")

PLAIN = {"{client_addr}": b"192.0.2.1", "{client_name}": b"mx.peer.example", "{daemon_port}": b"25", "i": b"4F2"}
STAMPING = Snapshot(guard=Guard(Answer.STAMP), proven={"192.0.2.1": Proof(50)})
LIMITED = Snapshot(
    ports={"10225": Door.LEGACY},
    waivers=PeerMap({"192.0.2.1": Terms(Level.LEGACY, WaiverLimits(recipients=("ours.example",), size=1000))}),
)
AT_THE_DOOR = {**PLAIN, "{daemon_port}": b"10225", "{tls_version}": b"TLSv1"}


@pytest.fixture(scope="module")
def milter() -> Iterator[MilterProcess]:
    with MilterProcess(Snapshot()) as process:
        yield process


def knowing(milter: MilterProcess, snapshot: Snapshot) -> None:
    """Hand it a snapshot, and wait until the next connection is one of that snapshot."""
    milter.know(snapshot)
    threading.Event().wait(0.15)  # it looks at most ten times a second


def message(mta: Mta, macros: dict[str, bytes] = PLAIN) -> bytes | None:
    mta.helo(b"client.example")
    mta.mail(b"<a@peer.example>", b"SIZE=7")
    return mta.data(macros)


def test_only_helo_mail_and_data_are_asked_for_and_only_data_is_answered(milter: MilterProcess) -> None:
    knowing(milter, Snapshot())
    with Mta(milter.socket) as caller:
        steps = caller.terms.steps
        assert steps & mta.NO_CONNECT and steps & mta.NO_RCPT and steps & mta.NO_HEADERS and steps & mta.NO_BODY
        assert steps & mta.NO_EOH and steps & mta.NO_UNKNOWN and steps & mta.NR_HELO and steps & mta.NR_MAIL
        assert not steps & (mta.NO_HELO | mta.NO_MAIL | mta.NO_DATA)
        assert caller.terms.actions & 0xFF == 0, "without a stamp it may not even change a message"
        assert set(caller.terms.macros["data"]) == set(MACROS)
        assert {stage: len(names) for stage, names in caller.terms.macros.items() if stage != "data"} == {
            "helo": 1, "mail": 1, "rcpt": 1,
        }  # fmt: skip


def test_what_data_brings_is_told_to_mailtlsd_message_by_message(milter: MilterProcess) -> None:
    knowing(milter, Snapshot())
    with Mta(milter.socket) as caller:
        for number in (b"1", b"2"):
            assert message(caller, {**PLAIN, "i": number, "{tls_version}": b"TLSv1.3"}) == CONTINUE
            assert caller.end() == (CONTINUE, [])
            found = milter.hear()
            assert isinstance(found, FactsParcel)
            assert (found.facts.queue_id, found.facts.sender, found.facts.size) == (number.decode(), "a@peer.example", 7)
            assert (found.facts.helo_name, found.facts.encryption_protocol) == ("client.example", "TLSv1.3")


def test_a_refusal_reaches_the_client_with_the_operators_words_and_per_cent_signs(milter: MilterProcess) -> None:
    need = Requirement(text="100% TLS, please; %s", url="https://x.example/a%20b")
    knowing(milter, Snapshot(required_of_peers=PeerMap({"192.0.2.1": need})))
    with Mta(milter.socket) as caller:
        reply = message(caller)
        assert reply == b"y450 4.7.1 100%% TLS, please; %%s https://x.example/a%%20b\0", "as printf would have it"
    found = milter.hear()
    assert isinstance(found, FactsParcel) and found.verdict.ground is Ground.NOT_PROTECTED_ENOUGH


def test_a_stamp_is_put_in_front_and_those_from_outside_are_removed_from_the_last_on(milter: MilterProcess) -> None:
    knowing(milter, STAMPING)
    with Mta(milter.socket) as caller:
        assert message(caller) == CONTINUE
        for name, value in ((b"Subject", b"x"), (HEADER.upper().encode(), b"forged"), (HEADER.encode(), b"forged")):
            caller.header(name, value)
        reply, edits = caller.end()
    milter.hear()
    assert reply == CONTINUE
    assert [edit[:1] for edit in edits] == [b"m", b"m", b"i"]
    assert [edit[1:5] for edit in edits] == [b"\0\0\0\2", b"\0\0\0\1", b"\0\0\0\0"]
    assert edits[2][5:] == HEADER.encode() + b"\0cleartext; expected TLSv1.2\0"


def test_recipients_and_size_are_judged_where_a_waiver_limits_them(milter: MilterProcess) -> None:
    knowing(milter, LIMITED)
    with Mta(milter.socket) as caller:
        caller.mail(b"<a@peer.example>")
        assert caller.rcpt(b"<b@ours.example>", macros=AT_THE_DOOR) == CONTINUE
        refused = caller.rcpt(b"<c@other.example>", macros=AT_THE_DOOR)
        assert refused is not None and refused.startswith(b"y450 4.7.1 ")
        assert caller.data(AT_THE_DOOR) == CONTINUE
        caller.body(b"x" * 1001)
        reply, _ = caller.end()
        assert reply.startswith(b"y450 4.7.1 ")
    grounds = []
    for _ in range(3):
        found = milter.hear()
        assert isinstance(found, FactsParcel)
        grounds.append((found.facts.protocol_state, found.verdict.ground))
    assert grounds == [
        (Stage.RCPT, Ground.RECIPIENT_NOT_WAIVED),
        (Stage.DATA, Ground.NOTHING),
        (Stage.END_OF_MESSAGE, Ground.TOO_LARGE),
    ]


HOSTILE = [
    b"\r\nX-Evil: 1",
    b"\x1b]0;owned\x07",
    b"\xff\xfe",
    b"%n%s",
    b"a" * 20_000,  # libmilter takes at most 64 kB of macros at once
    "\N{RIGHT-TO-LEFT OVERRIDE}x".encode(),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:8]))
def test_hostile_values_hold_up_no_mail_and_reach_nothing_raw(milter: MilterProcess, value: bytes) -> None:
    knowing(milter, STAMPING)
    before = len(milter.words())
    with Mta(milter.socket) as caller:
        caller.mail(b"<" + value + b"@x.example>", b"SIZE=" + value)
        assert caller.data({**PLAIN, "{client_name}": value, "{cert_subject}": value, "{cipher}": value}) == CONTINUE
        caller.header(b"Subject", value)
        reply, edits = caller.end()
    assert reply == CONTINUE and len(edits) == 1
    assert all(byte >= 32 or byte == 0 for edit in edits for byte in edit[5:])
    assert milter.words()[before:] == ""
    found = milter.hear()
    assert isinstance(found, FactsParcel) and 0 < len(found.facts.client_name) <= 4 * LONGEST


def test_a_login_that_is_no_utf_8_is_a_login_all_the_same(milter: MilterProcess) -> None:
    knowing(milter, Snapshot(required_of_peers=PeerMap({"192.0.2.1": Requirement()})))
    with Mta(milter.socket) as caller:
        assert message(caller, {**PLAIN, "{auth_authen}": b"\xfcser"}) == CONTINUE
    found = milter.hear()
    assert isinstance(found, FactsParcel) and found.facts.authenticated


def test_a_fault_within_lets_the_mail_go_on_and_is_said_in_one_line_for_all(milter: MilterProcess) -> None:
    knowing(milter, Snapshot())
    before = len(milter.words())
    with Mta(milter.socket) as caller:
        for _ in range(10):
            # No UTF-8: pymilter itself cannot make a text of it, and raises between libmilter and us.
            caller.helo(b"\xff")
            assert message(caller) == CONTINUE
            milter.hear()
    said = milter.words()[before:]
    assert said.count("\n") == 1 and "went on as if there were no milter" in said


def test_a_broken_file_of_verdicts_leaves_the_former_in_force_and_is_said_once(milter: MilterProcess) -> None:
    knowing(milter, Snapshot(required_of_peers=PeerMap({"192.0.2.1": Requirement()})))
    with Mta(milter.socket) as caller:
        assert message(caller) != CONTINUE
        before = len(milter.words())
        milter.put(b"mailtls-verdicts %d\n{" % VERSION)
        threading.Event().wait(0.15)
        for _ in range(3):
            assert message(caller) != CONTINUE
    said = milter.words()[before:]
    assert said.count("stays in force") == 1
    for _ in range(4):
        milter.hear()


def test_many_connections_at_once_are_each_answered(milter: MilterProcess) -> None:
    knowing(milter, Snapshot())
    wrong = []

    def deliver(number: int) -> None:
        with Mta(milter.socket) as caller:
            for _ in range(20):
                if message(caller, {**PLAIN, "i": b"%d" % number}) != CONTINUE or caller.end() != (CONTINUE, []):
                    wrong.append(number)

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    heard = 0
    while any(thread.is_alive() for thread in threads) or not milter.is_silent():
        if not milter.is_silent():
            milter.hear()
            heard += 1
    assert not wrong and heard


def test_without_mailtlsd_mail_goes_on_and_the_loss_is_said_once_and_counted() -> None:
    with MilterProcess(hears=False) as milter:
        with Mta(milter.socket) as caller:
            for _ in range(20):
                assert message(caller) == CONTINUE
        assert milter.words().count("was not told to mailtlsd") == 1
        assert "verdicts: is not there" in milter.words()


def test_systemd_is_told_that_it_is_ready_and_lives_and_a_stop_is_an_orderly_one(tmp_path: Path) -> None:
    (tmp_path / "mailtls.toml").write_text(f'root = "{tmp_path}"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, "-m", "mailtls.milter", "--config", tmp_path / "mailtls.toml", "--socket", tmp_path / "m"],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"},
        )
        assert manager.recv(1000).startswith(b"READY=1\n")
        assert [manager.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        process.terminate()
        assert process.wait(20) == 0


def test_it_stops_when_it_is_told_to_also_with_a_connection_open() -> None:
    with MilterProcess(Snapshot()) as milter, Mta(milter.socket) as caller:
        message(caller)
        milter.process.send_signal(signal.SIGTERM)
        assert milter.process.wait(20) == 0


def test_a_socket_that_a_killed_one_left_is_taken_over() -> None:
    with MilterProcess(Snapshot()) as milter:
        milter.kill()
        assert milter.socket.exists()
        milter.start()
        with Mta(milter.socket) as caller:
            assert message(caller) == CONTINUE


def test_where_nobody_can_listen_it_says_so_and_ends(tmp_path: Path) -> None:
    (tmp_path / "mailtls.toml").write_text(f'root = "{tmp_path}"\n')
    found = subprocess.run(
        [sys.executable, "-m", "mailtls.milter", "--config", tmp_path / "mailtls.toml"], capture_output=True, timeout=60
    )
    assert found.returncode == 1
    assert b"mailtls/milter/socket: nobody can listen here" in found.stderr and b"Traceback" not in found.stderr
