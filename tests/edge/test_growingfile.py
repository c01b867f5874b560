"""An open log gives whole lines, in bounded pieces, and notices when it is cut under its reader."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from mailtls.core.linecutter import LONGEST_LINE
from mailtls.edge.growingfile import BLOCK, GrowingFile, RotatedArchive, TruncatedError
from mailtls.errors import InputError

LINES = [b"Nov 21 00:42:35 mail postfix/smtpd[%d]: connect from x" % number for number in range(20)]
TEXT = b"".join(line + b"\n" for line in LINES)


def opened(path: Path, content: bytes = TEXT) -> GrowingFile:
    path.write_bytes(content)
    return GrowingFile(path)


def everything(source: GrowingFile | RotatedArchive) -> list[bytes]:
    lines: list[bytes] = []
    while True:
        count, more = source.read()
        lines += more
        if not count:
            return lines


def test_whole_lines_come_and_half_ones_wait(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    file = opened(log, b"one\ntw")
    assert everything(file) == [b"one"]
    assert file.place().offset == 4
    assert file.is_read()
    with log.open("ab") as writer:
        writer.write(b"o\n")
    assert not file.is_read()
    assert everything(file) == [b"two"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(TEXT[:-1], id="shorter by a byte"),
        pytest.param(b"x" + TEXT[1:], id="another beginning"),
        pytest.param(TEXT[:-2] + b"?\n", id="another end"),
        pytest.param(TEXT.replace(b"Nov 21", b"Nov 22") * 3, id="grown past the place"),
        pytest.param(b"\0" * len(TEXT) + b"after\n", id="a hole"),
    ],
)
def test_a_file_that_was_cut_is_noticed(tmp_path: Path, content: bytes) -> None:
    log = tmp_path / "mail.log"
    file = opened(log)
    assert everything(file) == LINES
    log.write_bytes(content)
    assert not file.is_read()
    with pytest.raises(TruncatedError):
        file.read()


def test_a_file_that_was_renamed_and_deleted_is_read_on(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    file = opened(log)
    with log.open("ab") as writer:
        log.rename(tmp_path / "other")
        (tmp_path / "other").unlink()
        writer.write(b"late\n")
        writer.flush()
        assert everything(file) == [*LINES, b"late"]


def test_it_goes_on_at_a_place(tmp_path: Path) -> None:
    file = opened(tmp_path / "mail.log")
    offset = len(LINES[0]) + 1
    file.start_at(offset)
    assert everything(file) == LINES[1:]
    straight = opened(tmp_path / "mail.log")
    everything(straight)
    assert file.place() == straight.place()


@pytest.mark.parametrize(
    ("content", "size", "expected"),
    [
        (b"", None, 0),
        (b"half", None, 0),
        (b"one\n", None, 4),
        (b"one\nhalf", None, 4),
        (b"one\ntwo\n", 6, 4),
        (b"one\ntwo\n", 4, 4),
        (b"one\n", 99, 4),
        (b"one\n" + b"x" * (2 * BLOCK), None, 4),
        (b"x" * (2 * BLOCK), None, 0),
    ],
)
def test_the_end_is_behind_the_last_line_end(tmp_path: Path, content: bytes, size: int | None, expected: int) -> None:
    file = opened(tmp_path / "mail.log", content)
    file.start_at_end(size)
    assert file.track.offset == expected


def test_a_piece_is_never_larger_than_a_block_or_a_line(tmp_path: Path) -> None:
    content = TEXT * 1_000 + b"x" * (3 * LONGEST_LINE) + b"\n" + TEXT
    file = opened(tmp_path / "mail.log", content)
    largest = 0
    lines = 0
    while (read := file.read())[0]:
        largest = max(largest, sum(len(line) + 1 for line in read[1] if len(line) < 1_000))
        assert all(len(line) <= LONGEST_LINE for line in read[1])
        lines += len(read[1])
    assert largest <= BLOCK
    assert lines == 20 * 1_001 + 1
    assert file.track.cutter.cut == 1


def test_what_is_no_regular_file_is_refused_and_not_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for path, kind in ((tmp_path / "fifo", "a FIFO"), (tmp_path, "a directory"), (Path("/dev/null"), "a device")):
        with pytest.raises(InputError, match=kind):
            GrowingFile(path)
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        GrowingFile(tmp_path / "missing")


def test_closing_twice_does_not_close_a_strangers_descriptor(tmp_path: Path) -> None:
    file = opened(tmp_path / "mail.log")
    number = file.descriptor
    file.close()
    other = os.open(tmp_path, os.O_RDONLY)
    assert other == number
    file.close()
    os.fstat(other)
    os.close(other)


@pytest.mark.parametrize("copies", [1, 2_000])
@pytest.mark.parametrize("read_before", [0, 1, 7, 20])
def test_an_archive_goes_on_at_the_place_of_the_plain_file(tmp_path: Path, copies: int, read_before: int) -> None:
    content = TEXT * copies
    file = opened(tmp_path / "mail.log", content)
    file.start_at(sum(len(line) + 1 for line in LINES[:read_before]))
    place = file.place()
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(content))
    archive = RotatedArchive(tmp_path / "mail.log.1.gz", place)
    assert archive.place().offset == place.offset
    assert not archive.is_read()
    assert archive.unread() > 0
    assert everything(archive) == (LINES * copies)[read_before:]
    assert archive.ended
    assert archive.is_read()
    assert archive.warnings == []
    assert archive.unread() == 0
    assert archive.place().offset == len(content)
    assert archive.place().head.fits(content)


def test_an_archive_says_where_it_stands_while_it_is_read(tmp_path: Path) -> None:
    content = TEXT * 2_000
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(content))
    archive = RotatedArchive(tmp_path / "mail.log.1.gz")
    _, first = archive.read()
    again = RotatedArchive(tmp_path / "mail.log.1.gz", archive.place())
    archive.close()
    assert first + everything(again) == LINES * 2_000


def test_an_archive_that_ends_too_early_is_short(tmp_path: Path) -> None:
    file = opened(tmp_path / "mail.log")
    everything(file)
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(TEXT[:-5]))
    archive = RotatedArchive(tmp_path / "mail.log.1.gz", file.place())
    assert everything(archive) == []
    assert "ends before the place" in archive.warnings[0]


def test_the_last_line_of_an_archive_may_lack_its_end(tmp_path: Path) -> None:
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(b"one\ntwo"))
    assert everything(RotatedArchive(tmp_path / "mail.log.1.gz")) == [b"one", b"two"]
