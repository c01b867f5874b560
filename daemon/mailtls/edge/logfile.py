"""From log files to sessions, and to the history that they add up to.

Several files are read in the order of their first stamps, whatever order they are given in, and one assembler goes
through them all: a session that a rotation cut in two is one session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice

from mailtls.core.assembler import Assembler
from mailtls.core.history import History
from mailtls.core.logline import split
from mailtls.core.order import newest_first
from mailtls.core.session import Session
from mailtls.core.stamp import Calendar
from mailtls.edge.bulk import Bulk
from mailtls.edge.logstream import LogFile
from mailtls.errors import InputError

Progress = Callable[[int, int], None]

_LOOKED_AT = 5_000  # lines; a log of fewer is looked at whole, to see whether it runs backwards
_PROGRESS_STEP = 20_000  # lines


def read_history(
    paths: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Progress | None = None,
    most: int | None = None,
) -> tuple[History, list[str]]:
    """Read logs into a history; return it with warnings, one sentence each.

    Of a large log only the `most` peers that fail most often are kept one by one (None: all that fail); the others
    are in `History.crowds`.
    `progress` is called now and then with bytes read and bytes in all (0: unknown). Raises InputError where a log
    cannot be opened.
    """
    history = History()
    warnings: list[str] = []
    reader = LogReader(paths, since=since, until=until, progress=progress, warnings=warnings, most=most)
    for session in reader.sessions(history):
        history.record(session)
    history.lines = reader.assembler.lines
    history.statements = reader.assembler.statements
    return history, warnings


def read_sessions(
    paths: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Progress | None = None,
    warnings: list[str] | None = None,
) -> Iterator[Session]:
    """Yield every session of the logs in the order in which they end; appends sentences to `warnings`."""
    reader = LogReader(
        paths, since=since, until=until, progress=progress, warnings=warnings if warnings is not None else []
    )
    return reader.sessions()


class LogReader:
    """Reads logs with one assembler; keeps the assembler's counts for the caller."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        since: datetime | None,
        until: datetime | None,
        progress: Progress | None,
        warnings: list[str],
        most: int | None = None,
    ) -> None:
        self.files = [LogFile(path, warnings) for path in paths]
        self.warnings = warnings
        self.assembler = Assembler(Calendar(datetime.now(UTC)))
        self._since = since
        self._until = until
        self._progress = progress
        self._most = most
        self._done = 0
        self._size = 0 if any(file.size == 0 for file in self.files) else sum(file.size for file in self.files)

    def sessions(self, history: History | None = None) -> Iterator[Session]:
        """Yield the sessions of all files, within `since` and `until`.

        With a history, what large logs hold goes into it, or into `crowds`, and is not yielded.
        """
        self._leave_out_unreadable()
        for file, calendar in self._in_order():
            self.assembler.calendar = calendar
            if history is None or self._since or self._until or not self._in_bulk(file, calendar, history):
                yield from self._of_file(file)
            if calendar.inferred:
                self._say_inferred(file, calendar)
            self._done += file.position
        yield from self._wanted(self.assembler.finish())
        if self.files and self.assembler.lines.read and not self.assembler.lines.understood:
            self.warnings.append(
                f"None of the {self.assembler.lines.read} lines read speaks of inbound TLS: is this the log of"
                " Postfix's smtpd or of Dovecot's login processes?"
            )

    def _leave_out_unreadable(self) -> None:
        """Of several files those that can be read are read; the others are a warning each. None at all: InputError."""
        readable: list[LogFile] = []
        refused: list[InputError] = []
        for file in self.files:
            try:
                file.probe()
                readable.append(file)
            except InputError as error:
                refused.append(error)
        if refused and not readable:
            raise refused[0]
        self.warnings.extend(f"{error} The other files were read." for error in refused)
        self.files = readable

    def _in_bulk(self, file: LogFile, calendar: Calendar, history: History) -> bool:
        feed = self.assembler.feed

        def drain(lines: list[bytes]) -> None:
            for line in lines:
                for session in feed(line):
                    history.record(session)

        def tick(position: int) -> None:
            if self._progress is not None:
                self._progress(self._done + position, self._size)

        bulk = Bulk(file, calendar, history, drain, tick)
        before = self.assembler.lines.read
        if not bulk.run(self._most):
            return False
        lines = self.assembler.lines
        lines.read = before + bulk.read
        lines.understood += bulk.understood
        lines.ignored = lines.read - lines.understood - lines.unknown
        history.crowds.extend(bulk.crowds)
        return True

    def _of_file(self, file: LogFile) -> Iterator[Session]:
        lines = file.lines()
        first = list(islice(lines, _LOOKED_AT))
        if len(first) < _LOOKED_AT and newest_first(first, self.assembler.calendar):
            first.reverse()
            self.warnings.append(f"{file.name} runs backwards (newest line first): it was read from its end.")
        feed = self.assembler.feed
        for number, line in enumerate(chain(first, lines)):
            done = feed(line)
            if done:
                yield from self._wanted(done)
            if self._progress is not None and number % _PROGRESS_STEP == 0:
                self._progress(self._done + file.position, self._size)
        if self._progress is not None:
            self._progress(self._done + file.position, self._size)

    def _wanted(self, sessions: list[Session]) -> Iterator[Session]:
        for session in sessions:
            if session.at is not None:
                if self._since is not None and session.at < self._since:
                    continue
                if self._until is not None and session.at > self._until:
                    continue
            yield session

    def _in_order(self) -> list[tuple[LogFile, Calendar]]:
        """Order the files by their first stamps; those without keep their place in front."""
        calendars = [(file, file.calendar()) for file in self.files]
        if len(calendars) < 2 or not all(file.is_regular for file in self.files):
            return calendars  # a pipe can be read only once: nobody may look into it beforehand
        start = datetime.min.replace(tzinfo=UTC)
        return sorted(calendars, key=lambda pair: _first_moment(*pair) or start)

    def _say_inferred(self, file: LogFile, calendar: Calendar) -> None:
        source = "today" if file.path == "-" else "the file's last change"
        self.warnings.append(
            f"{file.name} has stamps without a year: taken from {source}"
            f" ({calendar.reference:%Y-%m-%d}), in this machine's time zone."
        )


def _first_moment(file: LogFile, calendar: Calendar) -> datetime | None:
    probe = LogFile(file.path)
    for line in islice(probe.lines(), 200):
        head = split(line)
        if head is not None and head.stamp:
            return calendar.read(head.stamp)
    return None
