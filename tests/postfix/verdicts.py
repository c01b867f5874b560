"""What `mailtlsctl report --format json` says of a log: the program is run as an operator runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from .programs import program


def mailtlsctl() -> str:
    """Find the program."""
    return program("mailtlsctl")


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
