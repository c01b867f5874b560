"""The programs of mailtls, run as an operator or systemd runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 30.0


def program(name: str) -> str:
    """Find `mailtlsctl`, `mailtlsd` or `mailtls-keeper`: on the PATH, else beside the running Python."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        raise FileNotFoundError(f"{name} is neither on the PATH nor beside this Python; install the package first")
    return found


@dataclass(slots=True)
class Service:
    """A program that stays, as the user `uid` (0: root). `words` is the file with all that it says.

    It dies with the process that started it (prctl(2), PR_SET_PDEATHSIG, here set by setpriv(1)).
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    words: Path
    uid: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def running(self) -> bool:
        """Tell whether it lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> int:
        """Give its number."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it is not ready yet."""
        who = ["--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"] if self.uid else []
        with self.words.open("ab") as words:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *who, program(self.name), *self.arguments],
                env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                cwd="/",
            )  # fmt: skip

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Wait until it has ended; give its exit status. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(patience_s)

    def stop(self) -> None:
        """End it with SIGTERM, and with SIGKILL if that does not help."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            return
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
