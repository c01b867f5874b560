"""Every real log gives exactly the verdicts that its labels name: nothing missed, nothing invented."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailtls.core.assembler import Assembler
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.history import History
from mailtls.core.printable import printable
from mailtls.core.stamp import Calendar
from mailtls.edge.logfile import read_history

from .scoring import Row, score

HERE = Path(__file__).parent
CASES: list[Row] = [json.loads(line) for line in (HERE / "cases.jsonl").read_text("utf-8").splitlines()]
SCORER = HERE.parents[1].parent / "shared" / "corpus" / "score.py"

by_file = pytest.mark.parametrize("case", CASES, ids=[case["file"].removesuffix(".log") for case in CASES])


def rows_of(history: History) -> Iterator[Row]:
    for ip, name, verdict, tally in history.rows():
        yield {
            "peer_ip": ip,
            "peer_name": name,
            "service": verdict.service.value,
            "outcome": verdict.outcome.value,
            "tls_version": verdict.tls_version,
            "cipher": verdict.cipher,
            "reason": verdict.reason,
            "cause": verdict.cause.value,
            "count": tally.count,
        }


@by_file
def test_the_verdicts_are_those_of_the_labels(case: Row) -> None:
    history, _ = read_history([str(HERE / case["file"])])
    assert score(case, rows_of(history)).complaints == []


@by_file
def test_a_failing_peer_has_the_name_of_its_connect_line(case: Row) -> None:
    history, _ = read_history([str(HERE / case["file"])])
    if case["redacted"]:
        pytest.skip("the poster redacted the addresses")
    names = {
        row["peer_ip"]: row["peer_name"].lower()
        for row in case["EXPECTED"]
        if row["peer_ip"] and row.get("peer_name") not in (None, "unknown")
    }
    for ip, name in names.items():
        if ip in history.peers and any(
            v.service in (Service.SMTPD, Service.SMTPS, Service.SUBMISSION) for v in history.peers[ip].verdicts
        ):
            assert (history.peers[ip].name or "").lower() == name


def test_the_corpus_is_whole() -> None:
    assert len(CASES) > 90
    assert {case["file"] for case in CASES} == {path.name for path in HERE.glob("*.log")}


@by_file
def test_every_label_is_a_word_of_the_vocabulary(case: Row) -> None:
    for row in case["EXPECTED"]:
        assert row["cause"] in set(Cause)
        assert row["service"] in set(Service)
        assert row["outcome"] in {*Outcome, "unclear"}


@by_file
def test_what_is_kept_of_a_session_is_fit_for_a_terminal(case: Row) -> None:
    assembler = Assembler(Calendar(datetime(2026, 1, 1, tzinfo=UTC)))
    sessions = [session for line in (HERE / case["file"]).read_bytes().splitlines() for session in assembler.feed(line)]
    for session in (*sessions, *assembler.finish()):
        texts = [session.reason, session.commands, session.cipher, *session.lines]
        assert all(text is None or text == printable(text) for text in texts)
        assert session.lines
        assert session.door is Door.STRICT


@by_file
def test_no_line_with_a_marker_of_tls_is_left_unread(case: Row) -> None:
    """What the grammar does not accept is counted; of real logs only what no reader could use is left over."""
    history, _ = read_history([str(HERE / case["file"])])
    lines = history.lines
    assert lines.read == lines.understood + lines.ignored + lines.unknown
    left_over = [line for line in (HERE / case["file"]).read_bytes().splitlines() if _is_unread(line)]
    assert left_over == [], "the grammar does not know these lines"


def _is_unread(line: bytes) -> bool:
    alone = Assembler(Calendar(datetime(2026, 1, 1, tzinfo=UTC)))
    alone.feed(line)
    return alone.lines.unknown > 0


@pytest.mark.slow
def test_score_py_is_content_with_the_command() -> None:
    """The acceptance's own scorer and the installed command; only where both are at hand."""
    command = shutil.which("mailtlsctl", path=str(Path(sys.executable).parent)) or shutil.which("mailtlsctl")
    if not SCORER.exists():
        pytest.skip("score.py stands beside the checkout only where the project is accepted")
    if command is None:
        pytest.skip("mailtlsctl is not installed")
    first = subprocess.run(
        [command, "report", "--format", "json", str(HERE / CASES[0]["file"])],
        capture_output=True,
        text=True,
        check=False,
    )
    if first.returncode != 0:
        pytest.skip(f"mailtlsctl report does not run yet: {first.stderr.strip().splitlines()[-1:]}")
    run = subprocess.run(
        [sys.executable, str(SCORER), "--", command, "report", "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert "recall 100.0%" in run.stdout
    assert "precision 100.0%" in run.stdout
