"""What `mailtlsctl report --format json` says of a log: the program is run as an operator runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def mailtlsctl() -> str:
    """Find the program: beside the running Python, else on the PATH."""
    beside = Path(sys.executable).with_name("mailtlsctl")
    program = shutil.which("mailtlsctl") or (str(beside) if beside.exists() else None)
    if program is None:
        raise FileNotFoundError("mailtlsctl is neither on the PATH nor beside this Python; install the package first")
    return program


class Report:
    """One report; `whole` is the JSON object as DESIGN.md describes it."""

    def __init__(self, log: Path) -> None:
        """Run the program on one log; anything but exit status 0 is a RuntimeError with its words."""
        command = [mailtlsctl(), "report", "--format", "json", str(log)]
        run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} exited with {run.returncode}: {run.stderr.decode()}")
        self.whole: dict[str, Any] = json.loads(run.stdout)

    def verdicts(self, ip: str | None) -> list[dict[str, Any]]:
        """Return the rows of one address; None: those that no client is charged with."""
        return [row for row in self.whole["verdicts"] if row["peer_ip"] == ip]

    def peer(self, ip: str) -> dict[str, Any] | None:
        """Return what is said of one address; None where there is nothing to say."""
        return next((row for row in self.whole["peers"] if row["peer_ip"] == ip), None)
