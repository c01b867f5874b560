"""What our programs log: one printable line a message, and under systemd its priority in front (sd-daemon(3)).

Strangers' words are in many messages; nothing that a terminal would obey gets out.
"""

from __future__ import annotations

import logging
import os

from mailtls.core.printable import printable

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
NOTICE = 5
LONGEST = 2000  # characters


class LogLines(logging.Formatter):
    """Lines of the program of this name. `info`: the priority of what is logged as information."""

    def __init__(self, program: str, *, prefixed: bool, info: int = PRIORITIES[logging.INFO]) -> None:
        super().__init__("%(message)s" if prefixed else f"{program}: %(levelname)s: %(message)s")
        self._prefixed = prefixed
        self._priorities = {**PRIORITIES, logging.INFO: info}

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        text = printable(super().format(record), LONGEST)
        return f"<{self._priorities.get(record.levelno, NOTICE)}>{text}" if self._prefixed else text


def begin_logging(program: str, level: int = logging.INFO, info: int = PRIORITIES[logging.INFO]) -> None:
    """Log to stderr, which is the journal where systemd says so (JOURNAL_STREAM)."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines(program, prefixed="JOURNAL_STREAM" in os.environ, info=info))
    logging.basicConfig(level=level, handlers=[handler])
