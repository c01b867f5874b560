"""Reading logs for a command: one bar on the terminal, and each warning once, when all is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from mailtls.core.history import History
from mailtls.core.session import Session
from mailtls.ctl import output
from mailtls.ctl.moment import read_span
from mailtls.ctl.progress import ReadingBar
from mailtls.edge.logfile import LogReader, Progress, read_history, read_sessions


class Hearer(Protocol):
    """Who takes sessions one by one, and adds them up in a history."""

    history: History

    def hear(self, sessions: Iterable[Session]) -> None:
        """Take sessions in the order of the log."""


def history_of(
    logs: Sequence[str],
    since: str | None,
    until: str | None,
    most: int | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> History:
    """Read logs into a history; of large ones only the `most` peers that fail most. ConfigError, InputError.

    `meanwhile` is called once, when the reading is under way.
    """
    first, last = read_span(since, until)
    with ReadingBar() as bar:
        progress = bar.callback if meanwhile is None else _first(meanwhile, bar.callback)
        history, warnings = read_history(logs, since=first, until=last, progress=progress, most=most)
    _warn(warnings)
    return history


def _first(meanwhile: Callable[[], None], callback: Progress | None) -> Progress:
    """Make a progress callback that does something else, too, when it is called first."""
    waiting = [meanwhile]

    def progress(done: int, size: int) -> None:
        if waiting:
            waiting.pop()()
        if callback is not None:
            callback(done, size)

    return progress


def sessions_of(logs: Sequence[str], since: str | None, until: str | None) -> Iterator[Session]:
    """Yield the sessions of logs in their order; ConfigError, InputError: one sentence each."""
    first, last = read_span(since, until)
    warnings: list[str] = []
    with ReadingBar() as bar:
        yield from read_sessions(logs, since=first, until=last, progress=bar.callback, warnings=warnings)
    _warn(warnings)


def listen(witness: Hearer, logs: Sequence[str], since: str | None, until: str | None) -> None:
    """Let a hearer have every session, and in its history what the lines said beside them."""
    first, last = read_span(since, until)
    warnings: list[str] = []
    with ReadingBar() as bar:
        reader = LogReader(logs, since=first, until=last, progress=bar.callback, warnings=warnings)
        witness.hear(reader.sessions())
    witness.history.lines = reader.assembler.lines
    witness.history.statements = reader.assembler.statements
    _warn(warnings)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        output.complain(f"warning: {warning}")
