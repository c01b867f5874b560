"""The snapshot maker: what verdicts go by, made anew when something in it has changed, and swapped whole.

Changes are coalesced: however many waivers come in one moment, one snapshot is made. It is made at least once in EVERY,
so that waivers that are over, and the stages of another day, are in it without anybody's word. The milter gets it as a
file that is renamed over the old one (core/snapshotfile.py), where its directory is there.

DIAGNOSTICS: a file that cannot be written is a fault in `mailtlsctl status`; the policy service is not concerned.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from time import monotonic

from mailtls.core.snapshotfile import write_snapshot
from mailtls.core.verdict import Snapshot
from mailtls.edge.wholefile import replace_whole
from mailtls.errors import StoreError

LOG = logging.getLogger("mailtls.snapshots")
EVERY = 60.0  # seconds
PAUSE = 0.05  # seconds from a change to the snapshot; more changes come along
REST = 20
"""Times as long as it took to make one, from its beginning until the next is begun.

With 50,000 addresses proven one takes 0.2 s, in which nobody is answered, and on such a site something is proven all
the time.
"""
FAULT = "verdicts"


class SnapshotMaker:
    """`make` puts a snapshot together from what is known now; `path`: the milter's file, None where there is none."""

    def __init__(self, make: Callable[[], Snapshot], path: Path | None, faults: MutableMapping[str, str]) -> None:
        self._make = make
        self._path = path
        self._faults = faults
        self._changed = asyncio.Event()
        self._written: Snapshot | None = None
        self.current = Snapshot()

    def touch(self) -> None:
        """Note that something has changed."""
        self._changed.set()

    def refresh(self) -> None:
        """Make it now."""
        self._changed.clear()
        fresh = self._make()
        if fresh != self.current:
            self.current = fresh

    async def run(self) -> None:
        """Make it whenever something changes, until cancelled."""
        while True:
            began = monotonic()  # uvloop's own time stands still while one is made
            self.refresh()
            rested = began + REST * (monotonic() - began)
            await self._write()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._changed.wait()
            await asyncio.sleep(max(PAUSE, rested - monotonic()))

    async def _write(self) -> None:
        """Hand it to the milter; in a thread, since it may have megabytes."""
        snapshot, path = self.current, self._path
        if path is None or snapshot is self._written or not path.parent.is_dir():
            return
        try:
            await asyncio.to_thread(lambda: replace_whole(path, write_snapshot(snapshot)))
        except (StoreError, ValueError) as error:
            said = f"The milter does not get to know what has changed: {error}."
            if self._faults.get(FAULT) != said:
                LOG.error("%s", said)  # noqa: TRY400  (a sentence)
            self._faults[FAULT] = said
            return
        self._written = snapshot
        self._faults.pop(FAULT, None)
