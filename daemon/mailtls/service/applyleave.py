"""Waiting until nobody is at a door that goes: Postfix ends the sessions of a service that is gone (facts 2.3).

The keeper learns of it by the view, where the door is struck out first; it leads nobody there any more. Where the
transaction is refused in the end, or ended by a signal, the view says again what it said.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from mailtls.core.operatorfile import parse_operator_file
from mailtls.core.postfixview import Doorway, PostfixSettings
from mailtls.core.serviceconduct import view_text
from mailtls.edge.doorsessions import wait_until_left
from mailtls.edge.swapfile import content_of, digest, swap
from mailtls.errors import ConfigError, RefusedError


class Leaving:
    """The time between the view's being told and the door's end; `entries` are the doors that stay.

    `is_told` says whether the view was changed; `is_done` is for the caller to set when the transaction stands.
    """

    def __init__(self, view: Path, entries: frozenset[str], patience_s: float) -> None:
        self.is_told = False
        self.is_done = False
        self._stack = ExitStack()
        self._view = view
        self._patience_s = patience_s
        self._before = content_of(view)
        self._settings = settings_of(view, self._before)
        doors = self._settings.doors if self._settings is not None else ()
        self._staying = tuple(door for door in doors if door.entry in entries)
        self._going = tuple(door for door in doors if door.entry not in entries)

    @property
    def going(self) -> tuple[str, ...]:
        """Name the doors that go, as master.cf does."""
        return tuple(door.entry for door in self._going)

    def __enter__(self) -> Leaving:
        """Tell the keeper, and wait. Raises RefusedError where sessions do not end."""
        if self._going and self._patience_s > 0:
            self._stack.enter_context(_interrupted())
            left = -1
            try:
                self._tell(self._staying)
                left = wait_until_left({door.port for door in self._going}, self._patience_s)
            finally:
                if left:  # also where somebody loses patience and presses Ctrl-C
                    self._take_back()
                    self._stack.close()
            if left:
                named = ", ".join(self.going)
                raise RefusedError(
                    f"nothing was changed: after {self._patience_s:.0f} s there are still {left} sessions at the doors "
                    f"({named}), and Postfix would cut them; try again later, or with --now, which cuts them"
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the view say what it said, if the door stays after all."""
        with self._stack:
            if self.is_told and not self.is_done:
                self._take_back()

    def _tell(self, doors: tuple[Doorway, ...]) -> None:
        assert self._settings is not None  # noqa: S101 - there are doors in it
        told = view_text(self._settings.model_copy(update={"doors": doors})).encode()
        self.is_told = True
        swap(self._view, told, digest(self._before))

    def _take_back(self) -> None:
        swap(self._view, self._before, digest(content_of(self._view)))
        self.is_told = False


@contextmanager
def _interrupted() -> Iterator[None]:
    """Let what ends a process without a word end it like Ctrl-C, so that the door does not stay struck out."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def settings_of(view: Path, content: bytes | None) -> PostfixSettings | None:
    """Read the view; one that cannot be read names no door, and setup writes it anew."""
    try:
        return parse_operator_file(PostfixSettings, (content or b"").decode(), str(view)) if content else None
    except (ConfigError, UnicodeDecodeError):
        return None
