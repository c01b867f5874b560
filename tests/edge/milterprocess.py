"""A mailtls-milter of a test's own: its directory, its file of verdicts, and the socket that hears its facts."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mailtls.core.factsparcel import FactsParcel, Misshapen, unpack_facts
from mailtls.core.snapshotfile import write_snapshot
from mailtls.core.verdict import Snapshot

PATIENCE_S = 30.0
LIBRARY = importlib.util.find_spec("milter") is not None


class MilterProcess:
    """A mailtls-milter that runs for the time of a `with` block, at `place` where that is given.

    `hears`: whether a mailtlsd takes its facts.
    """

    def __init__(self, snapshot: Snapshot | None = None, *, hears: bool = True, place: Path | None = None) -> None:
        self._snapshot = snapshot
        self._place = place
        self._hears = hears

    def __enter__(self) -> MilterProcess:
        self._room = tempfile.TemporaryDirectory(prefix="mailtls-milter-")
        self.root = Path(self._room.name)
        self.root.chmod(0o755)
        self.shared = self.root / "run" / "mailtls" / "milter"
        self.shared.mkdir(parents=True)
        self.socket = self._place or self.root / "milter"
        self.configuration = self.root / "mailtls.toml"
        self.configuration.write_text(f'root = "{self.root}"\n')
        self.log = self.root / "log"
        if self._snapshot is not None:
            self.know(self._snapshot)
        self._facts = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if self._hears:
            self._facts.bind(str(self.shared / "facts.sock"))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._facts.close()
        self._room.cleanup()

    def start(self) -> None:
        before = len(self.words())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mailtls.milter", "--config", self.configuration, "--socket", self.socket],
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while "listens at" not in self.words()[before:] or not self.socket.exists():
            assert self.process.poll() is None and time.monotonic() < deadline, self.words()
            time.sleep(0.02)
        os.chmod(self.socket, 0o777)  # noqa: S103 - a Postfix of the test connects, with its own user

    def stop(self) -> int:
        """Ask it to stop; give its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def know(self, snapshot: Snapshot) -> None:
        """Rename a new file of verdicts over the old one, as mailtlsd does."""
        self.put(write_snapshot(snapshot))

    def put(self, content: bytes) -> None:
        fresh = self.shared / "verdicts.new"
        fresh.write_bytes(content)
        fresh.rename(self.shared / "verdicts")

    def hear(self, patience_s: float = PATIENCE_S) -> FactsParcel | Misshapen:
        """Give the next parcel; TimeoutError where none comes."""
        self._facts.settimeout(patience_s)
        return unpack_facts(self._facts.recv(1 << 20))

    def is_silent(self) -> bool:
        """Tell whether no parcel waits."""
        with suppress(BlockingIOError):
            self._facts.setblocking(False)
            self._facts.recv(1, socket.MSG_PEEK)
            return False
        return True

    def words(self) -> str:
        """Give what it logged."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""
