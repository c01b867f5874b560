"""The progress bar of what takes a while, such as long logs: on standard error, on a terminal only.

Nothing is imported or drawn during the first second, so that short logs and pipes pay nothing for it. The bar is
drawn from the caller's own calls; no thread runs beside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 1.0  # seconds without a bar
BETWEEN = 0.1  # least seconds between two drawings


def wanted() -> bool:
    """Tell whether standard error is a terminal that can move its cursor."""
    try:
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except (AttributeError, ValueError):  # no standard error at all, or a closed one
        return False


class ReadingBar:
    """A context that shows how far a log is read; `callback` is what the reader calls, None where no bar is wanted.

    `counted`: what is counted instead of bytes.
    """

    def __init__(self, counted: str = "") -> None:
        self._counted = counted
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._next = time.monotonic() + PATIENCE
        self.callback: Callable[[int, int], None] | None = self._advance if wanted() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _advance(self, done: int, total: int) -> None:
        """Take the bytes, or whatever is counted, so far, of `total` (0: not known)."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + BETWEEN
        if self._progress is None:
            self._progress = _bar(self._counted)
            self._task = self._progress.add_task(self._counted or "reading", completed=done, total=total or None)
            self._progress.start()
        if self._task is not None:
            what = self._counted or "reading"
            self._progress.update(self._task, completed=done, total=total or None, description=what, refresh=True)


class AskingBar(ReadingBar):
    """The same for a server that is asked: which of some steps is reached, and after how many questions."""

    def __init__(self, steps: Sequence[str]) -> None:
        """Take the steps in their order."""
        super().__init__("asking")
        self._steps = list(steps)
        self._questions = 0

    def told(self, step: str) -> None:
        """Take the step that the next question belongs to."""
        self._questions += 1
        self._counted = f"{step}, question {self._questions}"
        if self.callback is not None:
            self.callback(self._steps.index(step), len(self._steps))


def _bar(counted: str) -> Progress:
    from rich import progress
    from rich.console import Console

    amount = progress.MofNCompleteColumn() if counted else progress.DownloadColumn()
    return progress.Progress(
        progress.TextColumn("{task.description}"), progress.BarColumn(), amount, progress.TimeRemainingColumn(),
        console=Console(stderr=True, markup=False), transient=True, auto_refresh=False,
    )  # fmt: skip
