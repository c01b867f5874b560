"""Whole logs: many files, in any order and size, give one history; a session that a rotation cut is one session."""

from __future__ import annotations

import gzip
import os
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailtls.core.cause import Outcome
from mailtls.core.history import History
from mailtls.edge import bulk, logstream
from mailtls.edge.logfile import read_history, read_sessions
from mailtls.errors import InputError

MX = "mx.example.net[192.0.2.1]"
REASON = "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:1:"
FAILING = [
    f"connect from {MX}", f"SSL_accept error from {MX}: -1", REASON, f"lost connection after STARTTLS from {MX}",
    f"disconnect from {MX} ehlo=1 starttls=0/1 commands=1/2",
]  # fmt: skip
Row = tuple[str | None, str, str | None, int]


def lines_of(second: int, messages: list[str] = FAILING, pid: int = 100) -> list[str]:
    return [
        f"2024-11-21T00:{second // 60:02d}:{second % 60:02d}+00:00 mail postfix/smtpd[{pid}]: {message}"
        for message in messages
    ]


def written(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def rows(history: History) -> list[Row]:
    """Every verdict, whether it was kept one by one or counted in a crowd."""
    found: Counter[tuple[str | None, str, str | None]] = Counter()
    for ip, _, verdict, tally in history.rows():
        found[ip, verdict.outcome.value, verdict.reason] += tally.count
    return sorted(((*key, count) for key, count in found.items()), key=repr)


FAILED_ONCE: list[Row] = [("192.0.2.1", "tls_failed", "no shared cipher", 1)]


def test_a_log_gives_its_verdicts_and_no_warning(tmp_path: Path) -> None:
    history, warnings = read_history([written(tmp_path / "mail.log", lines_of(1))])
    assert rows(history) == FAILED_ONCE
    assert warnings == []
    assert history.lines.read == len(FAILING)


@pytest.mark.parametrize("cut", range(len(FAILING) + 1))
@pytest.mark.parametrize("reverse", [False, True])
def test_a_session_that_a_rotation_cut_is_one_session_in_whatever_order_the_files_come(
    tmp_path: Path, cut: int, reverse: bool
) -> None:
    lines = [line for second, message in enumerate(FAILING) for line in lines_of(second, [message])]
    paths = [written(tmp_path / "mail.log", lines[cut:]), written(tmp_path / "mail.log.1", lines[:cut])]
    history, _ = read_history(paths[::-1] if reverse else paths)
    assert rows(history) == FAILED_ONCE


def test_compressed_and_plain_files_are_one_log(tmp_path: Path) -> None:
    lines = [line for second, message in enumerate(FAILING) for line in lines_of(second, [message])]
    (tmp_path / "mail.log.2.gz").write_bytes(gzip.compress("\n".join(lines[:2]).encode() + b"\n"))
    paths = [written(tmp_path / "mail.log", lines[2:]), str(tmp_path / "mail.log.2.gz")]
    assert rows(read_history(paths)[0]) == FAILED_ONCE


def test_files_without_stamps_are_read_as_given(tmp_path: Path) -> None:
    bare = [line.split(" ", 2)[2] for line in lines_of(1)]
    paths = [written(tmp_path / "a", bare[:2]), written(tmp_path / "b", bare[2:])]
    assert rows(read_history(paths)[0]) == FAILED_ONCE


def test_a_log_that_runs_backwards_is_read_from_its_end(tmp_path: Path) -> None:
    lines = [line for second, message in enumerate(FAILING) for line in lines_of(second, [message])]
    history, warnings = read_history([written(tmp_path / "mail.log", lines[::-1])])
    assert rows(history) == FAILED_ONCE
    assert len(warnings) == 1
    assert "backwards" in warnings[0]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
def test_line_ends_do_not_matter(tmp_path: Path, ends: str, final: bool) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes((ends.join(lines_of(1)) + (ends if final else "")).encode())
    assert rows(read_history([str(path)])[0]) == FAILED_ONCE


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1000, 4096, 65536])
def test_blocks_of_any_size_give_the_same_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    path = written(
        tmp_path / "mail.log", [line for second in range(40) for line in lines_of(second, pid=100 + second % 7)]
    )
    whole = rows(read_history([path])[0])
    monkeypatch.setattr(logstream, "BLOCK", block)
    assert rows(read_history([path])[0]) == whole == [("192.0.2.1", "tls_failed", "no shared cipher", 40)]


def test_a_pipe_among_several_files_loses_nothing(tmp_path: Path) -> None:
    """As `report <(zcat mail.log.1.gz) mail.log` gives it: a pipe can be read only once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = [line for second, message in enumerate(FAILING) for line in lines_of(second, [message])]

    def fill() -> None:
        with pipe.open("w") as stream:
            stream.write("".join(f"{line}\n" for line in lines[:3]))

    writer = threading.Thread(target=fill, daemon=True)
    writer.start()
    found: list[list[Row]] = []
    reader = threading.Thread(
        target=lambda: found.append(rows(read_history([str(pipe), written(tmp_path / "mail.log", lines[3:])])[0])),
        daemon=True,
    )
    reader.start()
    reader.join(20)
    if not found and writer.is_alive() is False:  # waits for a writer that has gone: let it go, and fail
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        reader.join(20)
    assert found == [FAILED_ONCE]


# --- since and until -----------------------------------------------------------------------------------------


def test_since_and_until_choose_sessions_by_their_time(tmp_path: Path) -> None:
    path = written(tmp_path / "mail.log", [line for second in range(60) for line in lines_of(second)])

    def at(second: int) -> datetime:
        return datetime(2024, 11, 21, 0, 0, second, tzinfo=UTC)

    assert sum(row[3] for row in rows(read_history([path], since=at(10))[0])) == 50
    assert sum(row[3] for row in rows(read_history([path], until=at(10))[0])) == 11
    assert sum(row[3] for row in rows(read_history([path], since=at(10), until=at(19))[0])) == 10


def test_sessions_without_time_are_never_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "mail.log", [line.split(" ", 2)[2] for line in lines_of(1)])
    assert rows(read_history([path], since=datetime(2030, 1, 1, tzinfo=UTC))[0]) == FAILED_ONCE


# --- what is said of the input -------------------------------------------------------------------------------


def test_stamps_without_a_year_are_said(tmp_path: Path) -> None:
    path = written(
        tmp_path / "mail.log", [line.replace("2024-11-21T00:00:01+00:00", "Nov 21 00:00:01") for line in lines_of(1)]
    )
    _, warnings = read_history([path])
    assert len(warnings) == 1
    assert "year" in warnings[0]
    assert path in warnings[0]


@pytest.mark.parametrize("lines", [["hello"] * 10, ["Nov 21 00:00:01 mail sshd[1]: hello"] * 10, ["%PDF-1.7"] * 3])
def test_a_text_that_is_no_mail_log_is_said(tmp_path: Path, lines: list[str]) -> None:
    history, warnings = read_history([written(tmp_path / "x", lines)])
    assert rows(history) == []
    assert any("speaks of inbound TLS" in warning for warning in warnings)


def test_an_empty_log_is_said(tmp_path: Path) -> None:
    history, warnings = read_history([written(tmp_path / "x", [])])
    assert rows(history) == []
    assert len(warnings) == 1


def test_no_log_at_all_is_an_empty_history() -> None:
    history, warnings = read_history([])
    assert rows(history) == []
    assert warnings == []


def test_a_truncated_archive_gives_what_was_readable(tmp_path: Path) -> None:
    noise = [f"2024-11-21T00:00:02+00:00 mail sshd[{n}]: {os.urandom(30).hex()}" for n in range(20_000)]
    whole = gzip.compress("\n".join([*lines_of(1), *noise]).encode())
    path = tmp_path / "mail.log.gz"
    path.write_bytes(whole[: len(whole) // 2])
    history, warnings = read_history([str(path)])
    assert rows(history) == FAILED_ONCE
    assert [warning for warning in warnings if "truncated" in warning]


def test_progress_goes_up_to_the_size_of_all_files(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / name, [line for second in range(60) for line in lines_of(second)]) for name in ("a", "b")
    ]
    told: list[tuple[int, int]] = []
    read_history(paths, progress=lambda done, size: told.append((done, size)))
    size = sum(Path(path).stat().st_size for path in paths)
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_sessions_come_in_the_order_of_their_ends(tmp_path: Path) -> None:
    first = lines_of(1, pid=1)
    second = [line.replace("192.0.2.1", "192.0.2.2") for line in lines_of(2, pid=2)]
    path = written(tmp_path / "mail.log", [*first[:-1], *second, first[-1]])
    sessions = list(read_sessions([path]))
    assert [session.peer.ip for session in sessions if session.peer] == ["192.0.2.2", "192.0.2.1"]
    assert {session.outcome for session in sessions} == {Outcome.TLS_FAILED}


# --- small logs and large ones -------------------------------------------------------------------------------

FORGERIES = {
    "a success": "sshd[1]: Invalid user mail postfix/smtpd[666]: disconnect from x[192.0.2.8] ehlo=1 starttls=1 quit=1 commands=3",
    "a plaintext session": "sshd[1]: Invalid user mail postfix/smtpd[100]: disconnect from x[192.0.2.8] ehlo=1 quit=1 commands=2",
    "a handshake": "sshd[1]: Invalid user mail postfix/smtpd[666]: TLS connection established from x[192.0.2.8]: TLSv1.3 with cipher X (1/1 bits)",
    "a failure": "sshd[1]: Invalid user mail postfix/smtpd[666]: SSL_accept error from x[192.0.2.8]: -1",
    "a success, in a reject": "postfix/smtpd[5]: NOQUEUE: reject: RCPT from a[192.0.2.66]: 554 5.7.1 <x mail postfix/smtpd[666]: disconnect from x[192.0.2.8] ehlo=1 starttls=1 commands=2",
    "a login": "dovecot: imap-login: Aborted login (auth failed, 1 attempts in 2 secs): user=<rip=192.0.2.8, TLS>, method=PLAIN, rip=192.0.2.6, lip=192.0.2.2, session=<a>",
    "a failed login": "dovecot: imap-login: Aborted login (auth failed, 1 attempts in 2 secs): user=<rip=192.0.2.8, TLS handshaking: error:0A0000C1:SSL routines::no shared cipher>, method=PLAIN, rip=192.0.2.6, lip=192.0.2.2, session=<a>",
}  # fmt: skip


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_strangers_words_are_no_header_in_a_log_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgery: str, large: bool
) -> None:
    monkeypatch.setattr(bulk, "LARGE", 1 if large else 1 << 40)
    good = [line for second in range(60) for line in lines_of(second)]
    evil = f"2024-11-21T00:00:30+00:00 mail {FORGERIES[forgery]}"
    history, _ = read_history([written(tmp_path / "mail.log", [*good, evil, *good])])
    found = rows(history)
    assert ("192.0.2.1", "tls_failed", "no shared cipher", 120) in found
    assert [row for row in found if row[0] == "192.0.2.8"] == []


def test_what_can_be_read_of_several_files_is_reported(tmp_path: Path) -> None:
    good = written(tmp_path / "mail.log", lines_of(1))
    history, warnings = read_history([str(tmp_path / "missing.log"), good, str(tmp_path)])
    assert rows(history) == [("192.0.2.1", "tls_failed", "no shared cipher", 1)]
    said = [warning for warning in warnings if "The other files were read." in warning]
    assert len(said) == 2
    assert "missing.log does not exist" in said[0]
    assert "is a directory" in said[1]


def test_if_none_of_several_files_can_be_read_that_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.log does not exist"):
        read_history([str(tmp_path / "a.log"), str(tmp_path / "b.log")])
