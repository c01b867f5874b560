"""From packets to the book of hellos: what is told, what is dropped when nobody listens, and what is no record."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.captures import ip, tcp
from core.hellotexts import MODERN, message, record
from mailtls.core.hellorecord import LONGEST, Kind, Sighting, Tally, read_record, write_record
from mailtls.edge.hellosocket import HelloReceiver, HelloSender
from mailtls.errors import ConfigError
from mailtls.service import observer
from mailtls.service.hellolistener import ALIVE, AT_ONCE, HelloListener
from mailtls.service.observer import Observer

HELLO = record(message(0x0303, [0x1301, 0x002F], MODERN))
SIGHTING = Sighting(Kind.HELLO, 5.0, "192.0.2.7", 40000, "198.51.100.1", 25, HELLO)


def packet(port: int = 40000, data: bytes = HELLO) -> bytes:
    return ip("192.0.2.7", "198.51.100.1", tcp(port, 25, 7, data))


class Packets:
    """A packet socket made of a pipe: something is there as long as packets are."""

    def __init__(self, *packets: bytes) -> None:
        self.read_end, self._write_end = os.pipe()
        self.packets: list[bytes] = []
        self.put(*packets)

    def put(self, *packets: bytes) -> None:
        self.packets += packets
        os.write(self._write_end, b"x" if packets else b"")

    def fileno(self) -> int:
        return self.read_end

    def receive(self) -> bytes | None:
        if not self.packets:
            os.read(self.read_end, 1)
            return None
        return self.packets.pop(0)

    def lost(self) -> int:
        return 3


class Listener:
    """mailtlsd's end: takes so many records, then none until it has room again."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.taken: list[Sighting | Tally | None] = []
        self.trouble = ""

    def send(self, datagram: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.taken.append(read_record(datagram))
        return True

    @property
    def sightings(self) -> list[Sighting]:
        return [each for each in self.taken if isinstance(each, Sighting)]


def observer_of(listener: Listener, *packets: Packets, now: float = 5.0) -> Observer:
    return Observer(packets, listener, lambda: now, lambda: None)


async def test_what_is_seen_is_told_and_the_tally_tells_how_much() -> None:
    packets, listener = Packets(packet(), packet(data=b"EHLO x\r\n")), Listener()
    running = asyncio.create_task(observer_of(listener, packets).run())
    async with asyncio.timeout(10):
        while not listener.sightings:  # noqa: ASYNC110
            await asyncio.sleep(0)
    running.cancel()
    assert listener.sightings == [SIGHTING]
    assert listener.taken[0] == Tally(lost=3), "also when nothing happened yet: it is alive"
    await asyncio.gather(running, return_exceptions=True)


async def test_what_mailtlsd_does_not_take_waits_and_the_oldest_is_dropped() -> None:
    listener = Listener(room=0)
    watching = observer_of(listener)
    for port in range(observer.WAITING + 7):
        watching.take(packet(port))
    watching.flush()
    assert watching.tally() == Tally(passed=observer.WAITING + 7, dropped=7)
    listener.room = 1 << 30
    async with asyncio.timeout(10):
        while len(listener.sightings) < observer.WAITING:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert [each.peer_port for each in listener.sightings] == list(range(7, observer.WAITING + 7))
    assert watching.tally().told == observer.WAITING


async def test_a_flood_is_cut_to_so_many_a_second() -> None:
    listener, now = Listener(), [5.0]
    watching = Observer((), listener, lambda: now[0], lambda: None)
    for _ in range(observer.A_SECOND + 500):
        watching.take(packet())
        watching.flush()
    assert len(listener.sightings) == observer.A_SECOND
    assert watching.tally().dropped == 500
    now[0] = 6.0
    watching.take(packet())
    watching.flush()
    assert len(listener.sightings) == observer.A_SECOND + 1


async def test_that_mailtlsd_does_not_listen_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(room=0)
    watching = observer_of(listener)
    listener.trouble = "/run/mailtls-observer/hellos.sock: connection refused; see: systemctl status mailtlsd"
    with caplog.at_level("INFO", "mailtls.observer"):
        for _ in range(5):
            watching.tell_tally()
        listener.trouble, listener.room = "", 10
        for _ in range(5):
            watching.tell_tally()
    assert [each.getMessage() for each in caplog.records] == [
        "mailtlsd takes no records: /run/mailtls-observer/hellos.sock: connection refused; "
        "see: systemctl status mailtlsd",
        "mailtlsd listens",
    ]


# --- the socket between them -----------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run").mkdir()
    yield tmp_path / "run" / "hellos.sock"


def test_records_go_over_the_socket_and_a_mailtlsd_that_begins_anew_is_found_again(path: Path) -> None:
    sender = HelloSender(path)
    assert not sender.send(b"lost")
    assert sender.trouble == f"{path}: no such file or directory; see: systemctl status mailtlsd"
    receiver = HelloReceiver(path)
    assert path.stat().st_mode & 0o777 == 0o660
    assert sender.send(write_record(SIGHTING))
    assert sender.trouble == ""
    assert receiver.receive() == write_record(SIGHTING)
    assert receiver.receive() is None
    receiver.close()
    assert not path.exists()
    assert not sender.send(b"lost")
    again = HelloReceiver(path)
    assert sender.send(b"found")
    assert again.receive() == b"found"
    again.close()
    sender.close()


def test_a_socket_that_a_killed_process_left_is_replaced_and_other_files_are_not(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(path))
    HelloReceiver(path).close()
    path.write_text("mine")
    with pytest.raises(ConfigError, match="no socket for the observer can be made here: address already in use"):
        HelloReceiver(path)
    assert path.read_text() == "mine"


def test_nobody_waits_for_a_mailtlsd_that_does_not_read(path: Path) -> None:
    receiver, sender = HelloReceiver(path), HelloSender(path)
    sent = 0
    while sender.send(bytes(LONGEST)):
        sent += 1
        assert sent < 10_000
    assert sender.trouble == "", "it is only slow"
    receiver.receive()
    assert sender.send(b"x")
    receiver.close()
    sender.close()


# --- mailtlsd's ear ---------------------------------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.now = datetime.now().astimezone()

    def __call__(self) -> datetime:
        return self.now


def test_without_its_directory_there_is_no_ear_and_nothing_is_wrong(tmp_path: Path) -> None:
    listener = HelloListener(tmp_path / "nowhere" / "hellos.sock", Time())
    listener.open()
    listener.take()
    listener.close()
    assert not listener.status().running


def test_a_directory_of_somebody_else_is_said_and_hinders_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    listener = HelloListener(path, Time())
    listener.open()
    listener.take()
    assert "Without the observer's hellos the log alone decides." in caplog.text


def test_garbage_is_counted_thrown_away_and_said_rarely(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = HelloListener(path, Time())
    listener.open()
    sender = HelloSender(path)
    for datagram in (b"", b"garbage", b"mtLS\1\1", write_record(SIGHTING)[:-300], bytes(LONGEST + 50), bytes(3)) * 30:
        while not sender.send(datagram):
            listener.take()
    listener.take()
    status = listener.status()
    assert (status.garbage, status.hellos, status.running) == (180, 0, False)
    assert len(caplog.records) == 8, "1, 2, 4 ... 128"
    assert sender.send(write_record(SIGHTING))
    listener.take()
    assert listener.status().hellos == 1
    sender.close()
    listener.close()


def test_a_flood_leaves_the_others_their_turn(path: Path) -> None:
    class Endless:
        def __init__(self, _: Path) -> None:
            self.given = 0

        def fileno(self) -> int:
            return 0

        def receive(self) -> bytes:
            self.given += 1
            return write_record(SIGHTING)

        def close(self) -> None: ...

    endless = Endless(path)
    listener = HelloListener(path, Time(), lambda _: endless)
    listener.open()
    listener.take()
    assert endless.given == AT_ONCE


def test_an_observer_that_says_nothing_for_long_is_taken_to_be_gone(path: Path) -> None:
    time = Time()
    listener = HelloListener(path, time)
    listener.open()
    sender = HelloSender(path)
    sender.send(write_record(Tally(passed=9, lost=2, told=7, dropped=1)))
    listener.take()
    status = listener.status()
    assert (status.running, status.passed, status.lost, status.ports_logged) == (True, 9, 3, False)
    time.now += ALIVE + timedelta(seconds=1)
    assert not listener.status().running
    sender.close()
    listener.close()
