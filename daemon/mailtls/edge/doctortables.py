"""Asking a table of Postfix one thing, to see whether it can be asked at all: postmap(1), which opens it as smtpd does.

Tables that ask another program are left alone: one that does not answer would hold us up as it does every client.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mailtls.core.doctortables import NETWORKED, WITHOUT_FILES, Answer, TableState, answer_of
from mailtls.edge.postconf import PATH

KEY = "192.0.2.1"
"""An address for documentation (RFC 5737): nobody's."""
PATIENCE_S = 10.0
MOST_WORDS = 12


def table_state(configuration: Path, spelled: str, queue: Path | None = None) -> TableState:
    """Ask one table, `type:name`; a name that is not absolute begins in the `queue` directory, where smtpd stands."""
    kind, colon, _ = spelled.partition(":")
    if colon and (kind in NETWORKED or kind == "proxy"):
        return TableState(spelled, Answer.NOT_ASKED)
    if not colon:
        return TableState(spelled, Answer.BROKEN, ("a type is missing, as in lmdb:FILE",))
    if kind in WITHOUT_FILES and kind != "fail":
        return TableState(spelled, Answer.FINE)
    asked = ask_postmap(configuration, spelled, queue)
    if asked is None:
        return TableState(spelled, Answer.NOT_ASKED)
    status, words = asked
    if any("ermission denied" in word for word in words):
        return TableState(spelled, Answer.UNREADABLE, words)
    return TableState(spelled, answer_of(status, words), words)


def ask_postmap(configuration: Path, spelled: str, queue: Path | None = None) -> tuple[int, tuple[str, ...]] | None:
    """Ask a table; give the status and what postmap said beside the answer; None where it cannot be run, or hangs."""
    try:
        ran = subprocess.run(  # noqa: S603 - Postfix's own program and the operator's table
            ["postmap", "-c", str(configuration), "-q", KEY, spelled], capture_output=True, timeout=PATIENCE_S,  # noqa: S607
            stdin=subprocess.DEVNULL, env={"PATH": PATH, "MAIL_LOGTAG": "postmap"}, text=True, errors="replace",
            check=False, cwd=queue if queue is not None and os.access(queue, os.X_OK) else None,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return ran.returncode, tuple(
        line.removeprefix("postmap: ") for line in ran.stderr.splitlines()[:MOST_WORDS] if line.strip()
    )
