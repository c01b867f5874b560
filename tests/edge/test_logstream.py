"""Log files of every kind: what is readable is used, what is not is said in one sentence, and nothing is a traceback."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pwd
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailtls.edge import logstream
from mailtls.edge.logstream import LONGEST_LINE, LogFile
from mailtls.errors import InputError

TEXT = b"".join(
    b"Nov 21 00:42:35 mail postfix/smtpd[%d]: connect from x[192.0.2.%d]\n" % (n, n % 250) for n in range(2_000)
)
LINES = TEXT.splitlines()


def zstd(text: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("zstd(1) is not installed")
    return subprocess.run(["zstd", "-qc"], input=text, capture_output=True, check=True).stdout


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
compressed = pytest.mark.parametrize("kind", [kind for kind in COMPRESSIONS if kind != "plain"])


def written(directory: Path, content: bytes, name: str = "mail.log") -> LogFile:
    path = directory / name
    path.write_bytes(content)
    return LogFile(str(path))


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("name", ["mail.log", "mail.log.1.gz", "x"])
def test_a_log_is_read_by_what_it_holds_and_not_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    file = written(tmp_path, COMPRESSIONS[kind](TEXT), name)
    assert list(file.lines()) == LINES
    assert file.warnings == []
    assert file.position == file.size


@compressed
def test_a_truncated_archive_is_read_as_far_as_it_goes(tmp_path: Path, kind: str) -> None:
    noise = b"".join(b"%s %d\n" % (os.urandom(60).hex().encode(), n) for n in range(20_000))  # does not compress well
    whole = COMPRESSIONS[kind](noise)
    file = written(tmp_path, whole[: len(whole) * 2 // 3])
    lines = list(file.lines())
    assert len(file.warnings) == 1
    assert kind in file.warnings[0]
    assert str(tmp_path) in file.warnings[0]
    assert kind == "bzip2" or len(lines) > 1_000
    assert all(line in noise for line in lines[:50])


@compressed
def test_a_damaged_archive_is_said_in_one_sentence(tmp_path: Path, kind: str) -> None:
    whole = COMPRESSIONS[kind](TEXT)
    middle = len(whole) // 2
    file = written(
        tmp_path, whole[:middle] + bytes(b ^ 0x55 for b in whole[middle : middle + 200]) + whole[middle + 200 :]
    )
    list(file.lines())
    assert len(file.warnings) == 1
    assert "\n" not in file.warnings[0]


@compressed
def test_only_the_head_of_an_archive_is_no_traceback(tmp_path: Path, kind: str) -> None:
    whole = COMPRESSIONS[kind](TEXT)
    for length in range(1, min(len(whole), 40)):
        list(written(tmp_path, whole[:length]).lines())


def test_several_archives_in_one_file_are_one_log(tmp_path: Path) -> None:
    half = len(LINES) // 2
    parts = [b"\n".join(part) + b"\n" for part in (LINES[:half], LINES[half:])]
    for kind in ("gzip", "bzip2", "xz", "zstd"):
        assert list(written(tmp_path, b"".join(map(COMPRESSIONS[kind], parts))).lines()) == LINES


def test_an_empty_file_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, b"")
    assert list(file.lines()) == []
    assert file.warnings == [f"{tmp_path}/mail.log is empty: nothing to report from it."]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 40, "PDF"),
        (b"PK\x03\x04" + bytes(4_000), "ZIP"),
        (b"\x7fELF" + bytes(4_000), "program"),
        (b"\x89PNG\r\n" + bytes(4_000), "picture"),
        (b"LPKSHHRH" + bytes(4_000), "journalctl"),
        (bytes(4_000), "binary"),
    ],
)
def test_what_is_no_log_is_called_by_its_name(tmp_path: Path, content: bytes, word: str) -> None:
    file = written(tmp_path, content)
    list(file.lines())
    assert len(file.warnings) == 1
    assert word in file.warnings[0]


def test_a_line_of_text_behind_binary_data_is_still_read(tmp_path: Path) -> None:
    file = written(tmp_path, bytes(3_000) + b"\n" + LINES[0] + b"\n" + bytes(3_000))
    assert LINES[0] in list(file.lines())


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\r\nb", [b"a", b"b"]),
        (b"a\n\nb\n", [b"a", b"", b"b"]),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\x00b\n", [b"a\x00b"]),
    ],
)
def test_line_ends_of_every_kind(tmp_path: Path, content: bytes, lines: list[bytes]) -> None:
    assert list(written(tmp_path, content).lines()) == lines


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=300), st.sampled_from([1, 2, 3, 7, 64, 4096]))
def test_any_bytes_are_split_as_bytes_are(tmp_path: Path, content: bytes, block: int) -> None:
    content = b"x" + content  # not an archive by chance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logstream, "BLOCK", block)
        lines = list(written(tmp_path, content).lines())
    wanted = content.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert lines == [line[:-1] if line.endswith(b"\r") else line for line in wanted]


@pytest.mark.parametrize("block", [1, 2, 3, 16, 128, 4096, 65536])
@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_blocks_of_any_size_give_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, block: int
) -> None:
    file = written(tmp_path, COMPRESSIONS[kind](TEXT[:20_000]))
    wanted = list(file.lines())
    monkeypatch.setattr(logstream, "BLOCK", block)
    again = LogFile(file.path)
    assert list(again.lines()) == wanted
    assert again.warnings == []


def test_a_line_without_end_is_cut_and_said(tmp_path: Path) -> None:
    file = written(tmp_path, LINES[0] + b"\n" + b"x" * (3 * LONGEST_LINE) + b"\n" + LINES[1] + b"\n")
    lines = list(file.lines())
    assert lines[0] == LINES[0]
    assert lines[-1] == LINES[1]
    assert max(map(len, lines)) < 2 * LONGEST_LINE
    assert len(file.warnings) == 1


def test_a_line_without_end_takes_no_more_memory_than_a_long_one(tmp_path: Path) -> None:
    held = 0
    file = written(tmp_path, b"")
    with Path(file.path).open("wb") as stream:
        stream.truncate(40 * LONGEST_LINE)  # a hole: zeros without any line end
    for line in file.lines():
        held = max(held, len(line))
    assert held < 2 * LONGEST_LINE


# --- what cannot be opened -----------------------------------------------------------------------------------


def sentence_of(file: LogFile) -> str:
    with pytest.raises(InputError) as refused:
        list(file.lines())
    text = str(refused.value)
    assert "\n" not in text
    assert file.name in text
    return text


def test_a_missing_file_is_said_with_where_logs_are(tmp_path: Path) -> None:
    assert "does not exist" in sentence_of(LogFile(str(tmp_path / "nope.log")))


def test_a_directory_is_said(tmp_path: Path) -> None:
    assert "is a directory" in sentence_of(LogFile(str(tmp_path)))


def test_a_file_as_a_directory_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT).path
    sentence_of(LogFile(f"{path}/x"))


def test_a_hostile_name_is_not_printed_raw(tmp_path: Path) -> None:
    assert "\x1b" not in sentence_of(LogFile(str(tmp_path / "a\x1b[2Jb")))
    assert "\x1b" not in LogFile("a\x1b[2Jb").name


@contextmanager
def nobody() -> Iterator[Callable[[Callable[[], str]], str]]:
    """Run a function in a child as user nobody; return the text that it returns."""

    def run(function: Callable[[], str]) -> str:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                user = pwd.getpwnam("nobody")
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
                os.write(write, function().encode())
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read) as pipe:
            text = pipe.read()
        assert os.waitpid(child, 0)[1] == 0
        return text

    yield run


def test_a_file_that_may_not_be_read_is_said_with_what_to_do(tmp_path: Path) -> None:
    file = written(tmp_path, TEXT)
    os.chmod(file.path, 0o600)
    if os.geteuid() == 0:
        with nobody() as run:
            text = run(lambda: sentence_of(file))
    else:
        os.chmod(file.path, 0)
        text = sentence_of(file)
    assert "may not be read" in text
    assert "sudo" in text


# --- standard input and pipes --------------------------------------------------------------------------------


@contextmanager
def standard_input(path: Path) -> Iterator[None]:
    before = os.dup(0)
    with path.open("rb") as stream:
        os.dup2(stream.fileno(), 0)
    stdin, sys.stdin = sys.stdin, os.fdopen(os.dup(0))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", os.fdopen(os.dup(0)))
            yield
    finally:
        sys.stdin = stdin
        os.dup2(before, 0)
        os.close(before)


@pytest.mark.parametrize("kind", ["plain", "gzip", "bzip2", "xz"])
def test_standard_input_may_be_compressed(tmp_path: Path, kind: str) -> None:
    path = Path(written(tmp_path, COMPRESSIONS[kind](TEXT)).path)
    with standard_input(path):
        file = LogFile("-")
        assert list(file.lines()) == LINES
    assert file.name == "standard input"
    assert file.size == 0
    assert file.warnings == []


def test_zstd_on_standard_input_is_refused_with_the_command_that_works(tmp_path: Path) -> None:
    path = Path(written(tmp_path, zstd(TEXT)).path)
    with standard_input(path), pytest.raises(InputError, match="zstd -dc"):
        list(LogFile("-").lines())


@pytest.mark.parametrize("kind", ["plain", "gzip"])
@pytest.mark.parametrize("piece", [1, 3, 10_000])
def test_a_named_pipe_is_read_however_slowly_it_is_filled(tmp_path: Path, kind: str, piece: int) -> None:
    """As `report <(zcat mail.log.2.gz)` gives it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = COMPRESSIONS[kind](b"\n".join(LINES[:30]) + b"\n")

    def fill() -> None:
        with path.open("wb", buffering=0) as pipe:
            for start in range(0, len(content), piece):
                pipe.write(content[start : start + piece])

    writer = threading.Thread(target=fill)
    writer.start()
    lines = list(LogFile(str(path)).lines())
    writer.join()
    assert lines == LINES[:30]


# --- the calendar --------------------------------------------------------------------------------------------


def test_years_come_from_the_files_last_change(tmp_path: Path) -> None:
    file = written(tmp_path, TEXT)
    written_at = datetime(2019, 3, 5, 12, tzinfo=UTC).timestamp()
    os.utime(file.path, (written_at, written_at))
    moment = file.calendar().read(b"Nov 21 00:42:35")
    assert moment is not None
    assert moment.year == 2018


def test_a_file_that_is_gone_has_the_present_year(tmp_path: Path) -> None:
    reference = LogFile(str(tmp_path / "gone")).calendar().reference
    assert abs(reference - datetime.now(UTC)) < timedelta(days=1)
