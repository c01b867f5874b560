"""Captures on disk: what is in them, and what is wrong with them in one sentence."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from tests.core.captures import ACK, FIN, SYN, ip, linked, pcap, pcapng, tcp
from tests.core.hellotexts import MODERN, message, record

from mailtls.core.hellofinder import MOST
from mailtls.edge.capturefile import CaptureFile
from mailtls.errors import InputError

HELLO = record(message(0x0303, [0x1301, 0x002F], MODERN))
TALK = b"EHLO client.test\r\nSTARTTLS\r\n"


def conversation(link: int, peer: str = "192.0.2.7", server: str = "198.51.100.1") -> list[bytes]:
    """A client that connects, says STARTTLS and its hello in one segment, and goes."""
    pieces = [(999, b"", SYN), (1000, TALK, ACK), (1000 + len(TALK), HELLO, ACK), (1000 + len(TALK + HELLO), b"", FIN)]
    return [linked(link, ip(peer, server, tcp(40000, 25, at, data, flags))) for at, data, flags in pieces]


@pytest.mark.parametrize("link", [0, 1, 101, 113, 276])
@pytest.mark.parametrize("write", [pcap, pcapng])
def test_hellos_are_read_from_any_kind_of_capture(tmp_path: Path, write: object, link: int) -> None:
    file = tmp_path / "mail.pcap"
    frames = conversation(link) + conversation(link, "2001:db8::7", "2001:db8::1")
    file.write_bytes(write(frames, link))  # type: ignore[operator]
    capture = CaptureFile(str(file))
    assert [one.peer for one in capture.hellos()] == ["192.0.2.7", "2001:db8::7"]
    assert (capture.packets, capture.connections, capture.given_up, capture.cut_off) == (8, 2, 0, 0)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap(conversation(1)))))
    assert len(list(CaptureFile("-").hellos())) == 1


def test_a_file_that_was_cut_off_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mail.pcap"
    file.write_bytes(pcap(conversation(1))[:-10])
    capture = CaptureFile(str(file))
    assert len(list(capture.hellos())) == 1
    assert capture.cut_off > 0


def test_what_is_wrong_is_one_sentence_with_the_name(tmp_path: Path) -> None:
    log, foreign = tmp_path / "mail.log", tmp_path / "radio.pcap"
    log.write_text("Nov 21 00:42:35 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\n")
    foreign.write_bytes(pcap([b"x" * 60], link=127))
    for file, words in (
        (tmp_path / "nowhere.pcap", "no such file"),
        (tmp_path, "is a directory"),
        (log, "neither pcap nor pcapng"),
        (foreign, "its kind of link (127) is not understood"),
    ):
        with pytest.raises(InputError) as raised:
            list(CaptureFile(str(file)).hellos())
        assert str(file) in str(raised.value)
        assert words in str(raised.value)


def test_memory_does_not_grow_with_the_number_of_connections(tmp_path: Path) -> None:
    file = tmp_path / "flood.pcap"
    with file.open("wb") as out:
        out.write(pcap([]))
        for number in range(MOST + 100):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            out.write(pcap([linked(1, ip(address, "198.51.100.1", tcp(40000, 25, 1, b"EHLO", ACK)))])[24:])
    capture = CaptureFile(str(file))
    assert list(capture.hellos()) == []
    assert capture.given_up == 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mail.pcap"
    file.touch(mode=0)
    with pytest.raises(InputError, match="permission denied"):
        list(CaptureFile(str(file)).hellos())
