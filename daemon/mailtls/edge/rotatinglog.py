"""A log as one stream of lines, through all its rotations: which file is read now, and which comes next.

The files are read in the order in which they were written. The one at the log's path is the last; a file that was
renamed is read to its end before its successor is begun, and stays open until it has been quiet for `LATE` seconds and
the successor has lines: programs that did not reopen their log yet still write to it. Truncated under the reader
(copytruncate), a log is continued in its copy, then from its beginning. What cannot be found again is said as a loss.

After a restart the same rules start from the stored position; files written since, which were rotated away meanwhile,
are read in between. A log that was never read before is begun at its end, what is beside it is left alone.

Nothing here waits: `edge/follow.py` does. Nothing raises for what the disk does.

BUGS: with copytruncate, lines written between the copy and the truncation are lost by logrotate(8) itself. What is
written to a rotated file later than `LATE` seconds after its last line is not read, nor what is written to one that was
empty when it was rotated while nobody read. A copy of fewer than 256 bytes, of a file that has more by now, is not
known as a copy.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from mailtls.core.logposition import MOST_DONE, MOST_FILES, KnownFile, LogPosition, Place, read_position
from mailtls.core.printable import printable
from mailtls.edge import logcondition
from mailtls.edge.growingfile import GrowingFile, LogSource, RotatedArchive, TruncatedError, kind_of
from mailtls.edge.inotify import DIRECTORY, FILE, Identity
from mailtls.edge.logcondition import Condition
from mailtls.edge.rotation import Sibling, find, itself, names, next_after, siblings
from mailtls.errors import InputError

LATE = 10.0  # seconds
TRIES = 100


class RotatingLog:
    """The log at a path. `condition` and `loss` are for the operator; `changed`: something of this is news."""

    def __init__(
        self,
        path: Path,
        position: str | None = None,
        *,
        from_start: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        late: float = LATE,
    ) -> None:
        self.path = path
        self.name = printable(str(path), 200)
        self.loss = ""
        self.condition = logcondition.waiting(self.name)
        self.changed = True
        self._clock = clock
        self._wall = wall
        self._late = late
        self._stored = read_position(position)
        self._stored_text = position or ""
        self._begin_at: tuple[Identity, int] | None = None
        self._from_start = from_start
        self._met = False
        self._elders: list[LogSource] = []
        self._current: LogSource | None = None
        self._done: list[KnownFile] = []
        self._looked = 0.0
        self._seen_there = 0.0
        self._beyond = 0
        self._touched = 0
        self._failing = False
        self._there = self._stored is not None
        if position and self._stored is None:
            self._lose(f"The stored position of {self.name} cannot be read: it is followed from its end.")

    # What there is

    def look(self) -> None:
        """Find out what is at the path now, and go on to the next file where the present one is read to its end."""
        self._seen_there = 0.0
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._begin(None)
            self._beyond = 0
            self._say(logcondition.vanished(self.name) if self._there else logcondition.waiting(self.name))
            self._advance(None)
            return
        except OSError as error:
            self._say(logcondition.refused(self.name, error))
            return
        if not stat.S_ISREG(status.st_mode):
            self._say(logcondition.not_a_log(self.name, kind_of(status.st_mode)))
        elif self._begin(status):
            self._follow(status)

    def position(self) -> str:
        """Return where to go on after the lines that were given so far, for the constructor."""
        if self._stored is not None:
            return self._stored_text
        files = tuple(source.place() for source in self._sources())
        return LogPosition(files, tuple(self._done), self._looked).text()

    def unread(self) -> int:
        """Bytes that are known to be left; 0: caught up."""
        total = self._beyond
        for source in self._sources():
            try:
                total += source.unread()
            except OSError:
                continue
        return total

    def places(self) -> dict[Identity, tuple[str, int]]:
        """What to watch for changes: the files that are open, and the directories where names may change."""
        watched: dict[Identity, tuple[str, int]] = {}
        for directory in {self._nearest(self.path.parent), self._nearest(Path(os.path.realpath(self.path)).parent)}:
            try:
                status = directory.stat()
            except OSError:
                continue
            watched[status.st_dev, status.st_ino] = (str(directory), DIRECTORY)
        for source in self._sources():
            if isinstance(source, GrowingFile):  # by descriptor: the path may name another file by now
                watched[source.identity] = (f"/proc/self/fd/{source.descriptor}", FILE)
        return watched

    def close(self) -> None:
        """Close every file."""
        for source in self._sources():
            source.close()
        self._elders, self._current = [], None

    # Lines

    def read(self, now: float) -> tuple[list[bytes], float] | None:
        """Read on in the oldest file that has something; None: all is read.

        Returns the next lines, perhaps none, and when they became readable: `now` for what was not seen before.
        """
        for source in self._sources():
            before = source.track.reached
            if before >= source.seen:
                source.seen, source.seen_at = before + self._unread_of(source), now
            count, lines = self._read_of(source)
            if count or lines:
                source.heard = self._clock()
                return lines, source.seen_at
            if source not in self._sources():  # truncated, or an archive's end
                return [], now
        return self._let_go(now)

    def _read_of(self, source: LogSource) -> tuple[int, list[bytes]]:
        try:
            result = source.read()
        except TruncatedError:
            self._truncated(source)
            return 0, []
        except InputError as error:
            self._lose(f"{error}")
            self._drop(source)
            return 0, []
        except OSError as error:
            self._failing = True
            self._say(logcondition.refused(source.name, error))
            return 0, []
        self._failing = False
        if source is self._current:  # what was at the path is what was read: it was not truncated in between
            self._looked = self._seen_there or self._looked
        if source.ended:
            self._end(source)
        return result

    def _let_go(self, now: float) -> tuple[list[bytes], float] | None:
        """Close files that were rotated away and are quiet; the last line of one may lack its end."""
        if not self._elders:
            return None
        elder = self._elders[0]
        replaced = self._current is not None and self._current.track.reached > 0
        quiet = replaced and self._clock() - elder.heard >= self._late
        if not quiet and len(self._elders) < MOST_FILES - 1:
            return None
        lines = elder.track.finish()
        self._drop(elder)
        return lines, now

    # From file to file

    def _sources(self) -> list[LogSource]:
        return [*self._elders, self._current] if self._current is not None else self._elders

    def _known(self) -> list[KnownFile]:
        return [*self._done, *(source.place().file for source in self._sources())]

    def _begin(self, status: os.stat_result | None) -> bool:
        """Once: take up the stored position, or decide where a log that was never read is begun. True: done."""
        if self._stored is not None:
            return self._resume(self._stored, status)
        if not self._met:
            self._met = True
            self._looked = self._wall()
            if status is not None and not self._from_start:
                self._begin_at = ((status.st_dev, status.st_ino), status.st_size)
            beside = [sibling for sibling in siblings(self.path) if sibling.dated and sibling.size]
            self._done = [sibling.file() for sibling in beside[-MOST_DONE:]]
        return True

    def _resume(self, stored: LogPosition, status: os.stat_result | None) -> bool:
        if status is not None and not os.access(self.path, os.R_OK, effective_ids=True):
            self._say(logcondition.denied(self.name))
            return False
        places = stored.files
        if places and not self._beside():
            return False  # the file system may not be mounted yet
        self._stored, self._met = None, True
        self._done, self._looked = list(stored.done), stored.looked
        for place in places[:-1]:
            self._take(place)
        if places and places[-1].offset:  # a place at the very beginning is that of a file that was missed
            self._take(places[-1])
        self.changed = True
        return True

    def _take(self, place: Place) -> None:
        """Go on at a place in whatever file holds it now; or say that it is lost."""
        source = self._search(place)
        if source is not None:
            self._push(source)
            return
        if place.head.length:
            self._done = [*self._done, place.file][-MOST_DONE:]
        if place.offset:
            self._lose(logcondition.lost(self.name, place, self._looked))

    def _search(self, place: Place) -> LogSource | None:
        """Find the file and open it; once more, as long as files are renamed or compressed under our eyes."""
        for _ in range(TRIES):
            beside = self._beside()
            sibling = find(place, beside)
            source = self._open(sibling, place) if sibling is not None else None
            if source is not None or names(self._beside()) == names(beside):
                return source
        return None

    def _beside(self) -> list[Sibling]:
        """The log's rotated files, the oldest first, and the log itself."""
        log = itself(self.path)
        return siblings(self.path) + ([log] if log is not None else [])

    def _follow(self, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if self._current is not None and self._current.identity == identity:
            if self._was_copied_unread(self._current, status):
                return
            self._beyond = 0
            self._seen_there = self._wall()
            self._there = True
            if not self._failing:
                self._say(logcondition.following(self.name))
            return
        self._beyond = status.st_size
        self._advance(status)

    def _was_copied_unread(self, source: LogSource, status: os.stat_result) -> bool:
        """A file of which nothing was read has no mark: only a copy beside it tells that it was truncated."""
        if source.track.reached or status.st_ctime_ns == self._touched:
            return False
        self._touched = status.st_ctime_ns
        missed = next_after(self._looked, self._known(), siblings(self.path))
        if missed is None:
            return False
        self._drop(source)
        self._advance_to(missed)
        return True

    def _advance(self, status: os.stat_result | None) -> None:
        """Where the present file is read to its end, begin the next: a rotated one that was missed, or the log."""
        if not self._met or not self._is_read():
            return
        if len(self._elders) >= MOST_FILES - 1:
            return  # one of them is let go first
        now = self._wall()
        beside = self._beside()
        log = self._open_log() if status is not None else None
        if status is not None and log is None:
            return
        missed = next_after(self._looked, self._known(), [file for file in beside if file.path != self.path])
        still = names(self._beside()) == names(beside)
        if log is not None and still and missed is None:
            self._looked, self._beyond, self._there = now, 0, True
            self._push(log)
            self._say(logcondition.following(self.name))
            return
        if log is not None:
            log.close()
        if missed is not None and still:  # otherwise something was renamed meanwhile: look again
            self._advance_to(missed)

    def _advance_to(self, missed: Sibling) -> None:
        source = self._open(missed, None)
        if source is None:
            if missed.moved():
                return  # rotation is at work: look again
            self._done = [*self._done, missed.file()][-MOST_DONE:]
            self._lose(f"{printable(str(missed.path), 200)} cannot be read: its lines are lost. Check `ls -l` on it.")
            return
        self._looked = max(self._looked, missed.written)
        self._push(source)

    def _push(self, source: LogSource) -> None:
        if isinstance(source, GrowingFile) and self._begin_at is not None and self._begin_at[0] == source.identity:
            source.start_at_end(self._begin_at[1])
        self._begin_at = None
        source.heard = self._clock()
        if self._current is not None:
            self._current.heard = self._clock()
            self._elders.append(self._current)
        self._current = source
        self.changed = True

    def _open_log(self) -> GrowingFile | None:
        try:
            return GrowingFile(self.path)
        except (FileNotFoundError, InputError):
            return None  # it was replaced this very moment: look again
        except OSError as error:
            self._say(logcondition.refused(self.name, error))
            return None

    def _open(self, sibling: Sibling, place: Place | None) -> LogSource | None:
        """Open a rotated file; None where it cannot be, or where the name means another file by now."""
        source: LogSource
        try:
            if sibling.archive:
                source = RotatedArchive(sibling.path, place)
            else:
                source = GrowingFile(sibling.path)
                if place is not None:
                    source.start_at(place.offset)
        except (OSError, InputError):
            return None
        if source.identity[1] == sibling.inode:
            return source
        source.close()
        return None

    def _truncated(self, source: LogSource) -> None:
        """Go on in the copy that copytruncate made of the file, if there is one; then from the beginning."""
        place = source.place()
        was_current = source is self._current
        self._drop(source)
        if was_current and place.offset:
            self._take(place)

    def _end(self, archive: LogSource) -> None:
        if isinstance(archive, RotatedArchive):
            for warning in archive.warnings:
                self._lose(warning)
        self._drop(archive)

    def _drop(self, source: LogSource) -> None:
        file = source.place().file
        if file.head.length:
            self._done = [*self._done, file][-MOST_DONE:]
        source.close()
        if source is self._current:
            self._current = None
        else:
            self._elders.remove(source)
        self.changed = True

    def _is_read(self) -> bool:
        """Tell whether the present file is read to its end: the very bytes, and not others after a truncation."""
        try:
            return self._current is None or self._current.is_read()
        except OSError:  # gone for good: ESTALE
            return True

    def _unread_of(self, source: LogSource) -> int:
        try:
            return source.unread()
        except OSError:
            return 0

    @staticmethod
    def _nearest(directory: Path) -> Path:
        while not directory.is_dir() and directory != directory.parent:
            directory = directory.parent
        return directory

    def _say(self, condition: Condition) -> None:
        if condition != self.condition:
            self.condition = condition
            self.changed = True

    def _lose(self, sentence: str) -> None:
        self.loss = sentence
        self.changed = True
