"""`mailtlsctl hello`: what the operator reads of a capture, and what scripts do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.core.captures import ACK, FIN, SYN, ip, linked, pcap, tcp
from tests.core.hellotexts import MODERN, extension, message, record, sized, sslv2

from mailtls.ctl import hello
from mailtls.ctl.hellojson import Hellos

from .program import mailtlsctl

TALK = b"EHLO client.test\r\nSTARTTLS\r\n"
CONFIG = """
root = "{root}"
[postfix.strict]
versions = ["TLSv1.2", "TLSv1.3"]
certificates = ["ECDSA"]
ciphers = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256"]
"""
MODERN_HELLO = record(message(0x0303, [0x1301, 0xC02B], MODERN))
RSA_ONLY = record(message(0x0303, [0x009C, 0xC02F]))
OLD = record(message(0x0301, [0x000A, 0x002F]))
SSLV3 = record(message(0x0300, [0x0005]), 0x0300)
EXPORT = sslv2(0x0301, [0x0700C0, 0x000003])


def frames(peer: str, hello: bytes, source: int = 40000) -> list[bytes]:
    pieces = [(999, b"", SYN), (1000, TALK, ACK), (1000 + len(TALK), hello, ACK), (1000 + len(TALK + hello), b"", FIN)]
    return [linked(1, ip(peer, "198.51.100.1", tcp(source, 25, at, data, flags))) for at, data, flags in pieces]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A machine whose strict door has an ECDSA certificate only."""
    place = tmp_path / "mailtls.toml"
    place.write_text(CONFIG.format(root=tmp_path))
    return place


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Five peers, of which one comes twice."""
    place = tmp_path / "mail.pcap"
    sent = [*frames("192.0.2.1", MODERN_HELLO), *frames("192.0.2.2", RSA_ONLY), *frames("192.0.2.3", OLD)]
    sent += [*frames("192.0.2.4", SSLV3), *frames("192.0.2.5", EXPORT), *frames("192.0.2.3", OLD, 40001)]
    place.write_bytes(pcap(sent))
    return place


def test_every_peer_is_told_its_narrowest_door_and_the_command(config: Path, capture: Path) -> None:
    ran = mailtlsctl("hello", "--config", config, capture, COLUMNS="120")
    assert (ran.returncode, ran.stderr) == (0, "")
    for words in (
        "192.0.2.1 to 198.51.100.1 port 25, STARTTLS, 1 hello",
        "The strict door takes it.",
        "asks for mx.example.test",
        "weakens nothing. Until then:\n    mailtlsctl allow-legacy 192.0.2.2 --level legacy-rsa\n",
        "192.0.2.3 to 198.51.100.1 port 25, STARTTLS, 2 hellos",
        "strict: no: unsupported protocol",
        "legacy: TLSv1 with AES128-SHA",
        "mailtlsctl allow-legacy 192.0.2.3 --level legacy\n",
        "The narrowest door that takes it is sslv3:\n    mailtlsctl allow-legacy 192.0.2.4 --level sslv3\n",
        "sslv3: SSLv3 with RC4-SHA",
        "in the format of SSLv2",
        "No door takes it: the peer offers EXP-RC4-MD5",
    ):
        assert words in ran.stdout
    assert "is not known" not in ran.stdout


def test_those_whom_no_door_takes_come_first_and_of_the_fine_ones_only_some(config: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.pcap"
    sent = [frame for number in range(1, 31) for frame in frames(f"192.0.2.{number}", MODERN_HELLO)]
    sent += frames("198.51.100.7", RSA_ONLY) + frames("198.51.100.8", SSLV3) + frames("198.51.100.9", EXPORT)
    many.write_bytes(pcap(sent))
    ran = mailtlsctl("hello", "--config", config, many, COLUMNS="120")
    told = [line.split()[0] for line in ran.stdout.splitlines() if " port 25, STARTTLS" in line]
    assert told == ["198.51.100.9", "198.51.100.8", "198.51.100.7", *(f"192.0.2.{number}" for number in range(1, 21))]
    assert ran.stdout.endswith("The strict door takes 10 hellos more; --json lists them.\n")


def test_the_json_follows_its_model(config: Path, capture: Path) -> None:
    ran = mailtlsctl("hello", "--json", "--config", config, capture)
    answer = Hellos.model_validate_json(ran.stdout)
    narrowest = {row.peer_ip: (row.narrowest, row.level, row.count) for row in answer.hellos}
    assert narrowest == {
        "192.0.2.1": ("strict", None, 1),
        "192.0.2.2": ("rsa-beside", "legacy-rsa", 1),
        "192.0.2.3": ("legacy", "legacy", 2),
        "192.0.2.4": ("sslv3", "sslv3", 1),
        "192.0.2.5": (None, None, 1),
    }
    modern = answer.hellos[0]
    assert (modern.versions, modern.ciphers[0]) == (("TLSv1.3", "TLSv1.2"), "TLS_AES_128_GCM_SHA256")
    assert modern.groups == ("X25519", "P-256")
    assert modern.ja4.startswith("t13d0209sp_")
    assert (answer.packets, answer.connections, answer.doors_known) == (24, 6, True)


def test_where_setup_has_not_looked_the_assumption_is_said(tmp_path: Path, capture: Path) -> None:
    nowhere = tmp_path / "other.toml"
    nowhere.write_text(f'root = "{tmp_path}/nowhere"\n')
    ran = mailtlsctl("hello", "--config", nowhere, capture, COLUMNS="120")
    assert "Which doors this machine has is not known (mailtlsctl setup looks)" in ran.stdout


def test_a_capture_without_hellos_says_so_and_how_to_name_a_port(config: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(pcap([]))
    ran = mailtlsctl("hello", "--config", config, "--port", "2525", empty, COLUMNS="120")
    assert ran.returncode == 0
    assert ran.stdout == (
        "No hello to port 2525 is in the capture (0 packets, 0 connections); another port is named with --port.\n"
    )


def test_what_is_no_capture_is_one_sentence(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text("Nov 21 00:42:35 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\n")
    ran = mailtlsctl("hello", "--config", config, log)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"mailtlsctl: {log}: it is neither pcap nor pcapng; record one with `tcpdump -w FILE`\n"
    )


def test_names_of_strangers_do_not_reach_the_terminal_as_they_are(config: Path, tmp_path: Path) -> None:
    evil = extension(0, sized(b"\0" + sized(b"\x1b[2J\x1b]0;owned\x07", 2), 2)) + extension(16, sized(sized(b"\x9b2J", 1), 2))
    place = tmp_path / "evil.pcap"
    place.write_bytes(pcap(frames("192.0.2.7", record(message(0x0303, [0x1301], evil)))))
    for arguments in (("hello",), ("hello", "--json")):
        ran = mailtlsctl(*arguments, "--config", config, place)
        assert ran.returncode == 0
        assert not any((ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0 for char in ran.stdout)
    assert json.loads(ran.stdout)["hellos"][0]["server_name"] == "\x1b[2J\x1b]0;owned\x07"


def test_a_broken_capture_may_claim_any_time(config: Path, tmp_path: Path) -> None:
    place = tmp_path / "future.pcap"
    data = bytearray(pcap(frames("192.0.2.1", MODERN_HELLO)))
    data[24:28] = b"\xff" * 4
    place.write_bytes(data)
    assert mailtlsctl("hello", "--config", config, place).returncode == 0


def test_what_all_offer_together_is_bounded_and_what_had_no_room_is_counted(
    config: Path, capture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hello, "NUMBERS", 15)
    assert hello.hello(str(capture), ports=(), as_json=True, config=str(config)) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(row["count"] for row in found["hellos"]) + found["left_out"] == 6
    assert found["left_out"]
    assert found["hellos"]
