"""Standard output and error: nothing fails for want of a character, a reader or a disk."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from mailtls.ctl import output
from mailtls.errors import StoreError


class Failing(io.StringIO):
    encoding = "utf-8"

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, words: str) -> int:
        raise self.error


def test_pieces_are_written_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    class Counting(io.StringIO):
        def write(self, words: str) -> int:
            written.append(len(words))
            return super().write(words)

    monkeypatch.setattr("sys.stdout", Counting())
    output.write("x" * 1000 for _ in range(1000))
    assert sum(written) == 1_000_000
    assert max(written) < 2 * output._BATCH
    assert len(written) > 5


def test_a_character_that_the_locale_lacks_becomes_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, "ascii"))
    output.write(["m\u00fcnchen \u2026\n"])
    assert raw.getvalue() == b"m?nchen ?\n"


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Failing(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match="standard output cannot be written: No space left on device"):
        output.write(["x"])


def test_a_reader_that_went_away_is_told_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Failing(BrokenPipeError()))
    with pytest.raises(output.ReaderGoneError):
        output.write(["x"])


@pytest.mark.parametrize("stream", ["sys.stdout", "sys.stderr"])
def test_a_closed_stream_takes_everything(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, None)
    output.write(["x"])
    output.complain("x")


def test_a_complaint_is_one_printable_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("\x1b[2Jfile\nname does not exist")
    complaint = capsys.readouterr().err
    assert complaint.startswith("mailtlsctl: ")
    assert complaint.count("\n") == 1
    assert "\x1b" not in complaint


HEAVY = ["typer", "click", "rich", "pydantic", "asyncio", "multiprocessing.pool", "email", "http"]


def test_a_json_report_imports_nothing_that_only_people_need() -> None:
    code = (
        "import sys; from mailtls.ctl import run; run(['report', '--format', 'json', '-']); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], input="", env=os.environ, capture_output=True, text=True, check=True
    )
    assert seen.stderr.splitlines()[-1] == "[]"
