"""inotify(7) without a module in C, and waiting for it in asyncio.

`Inotify` is the kernel's interface: watches on inodes, events of them. `Wakeup` is what a follower waits on: it rings
when something happened at one of its places, and says when. Where the kernel gives no inotify (none left for this
user: `fs.inotify.max_user_instances`; a sandbox) it rings every `POLL` seconds instead.

Events say only that it is worth looking: what happened is found out by looking. So an overflow of the kernel's queue
is an event like others, and nothing hangs on the order of events.

BUGS: writes by another machine into a file on NFS cause no events: who waits must look now and then all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

POLL = 0.2  # seconds
REST = 0.005
"""Seconds of rest after the kernel was heard. A reader that is woken by every write slows its writer down: in a flood
Postfix loses 15% of its rate to that, and 2.5% where the reader rests; one line alone is heard at once all the same.
What happens meanwhile waits in the kernel, as one event for as many writes."""

IN_MODIFY = 0x002
IN_ATTRIB = 0x004
IN_MOVED_FROM = 0x040
IN_MOVED_TO = 0x080
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x0100_0000

FILE = IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF
"""What happens to a file that is read."""
DIRECTORY = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
"""What happens to the names in a directory; writing into its files is not told."""

_HEAD = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, len; the name follows, padded with NULs
_BUFFER = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class Event:
    """One event: the watch's number (-1: the queue overflowed), the kernel's bits, and the name in a directory."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """One inotify instance. Raises OSError where the kernel refuses one (EMFILE, ENOSYS)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self.descriptor: int = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as error:  # a C library without it
            raise OSError("this system has no inotify") from error

    def watch(self, path: str, mask: int) -> int:
        """Watch the inode that the path names now; return the watch's number, the same for the same inode."""
        return self._call("inotify_add_watch", self.descriptor, os.fsencode(path), ctypes.c_uint32(mask))

    def forget(self, watch: int) -> None:
        """End a watch; one that ended by itself is no error."""
        with contextlib.suppress(OSError):
            self._call("inotify_rm_watch", self.descriptor, watch)

    def read(self) -> list[Event]:
        """Return events that wait, as many as fit in one read; none, if none wait."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            return _events(os.read(self.descriptor, _BUFFER))
        return []

    def close(self) -> None:
        """Give everything back to the kernel."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _call(self, name: str, *arguments: object) -> int:
        result = int(getattr(self._libc, name)(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result


def _events(content: bytes) -> list[Event]:
    events = []
    at = 0
    while at < len(content):
        watch, mask, _, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        events.append(Event(watch, mask, content[at : at + length].rstrip(b"\0")))
        at += length
    return events


Identity = tuple[int, int]
"""Device and inode."""


class Wakeup:
    """Rings when something happens at the watched places. Needs a running event loop; close it at the end."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        make: Callable[[], Inotify] = Inotify,
        poll: float = POLL,
        rest: float = REST,
    ) -> None:
        self._clock = clock
        self._poll = poll
        self._rest = rest
        self._resting: asyncio.TimerHandle | None = None
        self._rung = asyncio.Event()
        self._rung_at: float | None = None
        self._watches: dict[Identity, int] = {}
        self._unwatched = False
        self._inotify: Inotify | None = None
        with contextlib.suppress(OSError):
            self._inotify = make()
        self._listen()

    @property
    def polls(self) -> bool:
        """Tell whether it must do without inotify, for all places or for some."""
        return self._inotify is None or self._unwatched

    def watch(self, places: Mapping[Identity, tuple[str, int]]) -> bool:
        """Watch these and no others: a path and a mask each; True if one is new, so that it is worth looking again.

        Where one cannot be watched (`fs.inotify.max_user_watches`), it rings every `POLL` seconds as well.
        """
        if self._inotify is None:
            return False
        for identity in self._watches.keys() - places.keys():
            self._inotify.forget(self._watches.pop(identity))
        new = places.keys() - self._watches.keys()
        for identity in new:
            path, mask = places[identity]
            with contextlib.suppress(OSError):
                self._watches[identity] = self._inotify.watch(path, mask)
        self._unwatched = len(self._watches) < len(places)
        return bool(new & self._watches.keys())

    def ring(self) -> None:
        """Wake the waiter."""
        if self._rung_at is None:
            self._rung_at = self._clock()
        self._rung.set()

    def take(self) -> float | None:
        """Return when it first rang since it was last asked, by the clock; None: it did not."""
        at, self._rung_at = self._rung_at, None
        self._rung.clear()
        return at

    async def wait(self, longest: float) -> None:
        """Return when it rings, at once if it has; or after so many seconds."""
        longest = min(longest, self._poll) if self.polls else longest
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._rung.wait()

    def close(self) -> None:
        """Watch nothing any more, and wake the waiter."""
        if self._resting is not None:
            self._resting.cancel()
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.descriptor)
            self._inotify.close()
            self._inotify = None
        self._watches.clear()
        self._rung.set()

    def _listen(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().add_reader(self._inotify.descriptor, self._hear)

    def _hear(self) -> None:
        assert self._inotify is not None  # noqa: S101
        ended = {event.watch for event in self._inotify.read() if event.mask & IN_IGNORED}
        if ended:
            self._watches = {place: watch for place, watch in self._watches.items() if watch not in ended}
        self.ring()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify.descriptor)
        self._resting = loop.call_later(self._rest, self._listen)
