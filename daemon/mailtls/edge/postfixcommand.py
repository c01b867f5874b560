"""postfix(1): the reload, and the start through the unit where a master has died.

Its exit status says little and it has no words for a program (facts 2.6, 2.7): what counts is what the ports show
afterwards.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from mailtls.edge.postconf import PATH
from mailtls.edge.runningmaster import Master, find_master
from mailtls.errors import PostfixError

PATIENCE_S = 60.0
ACTS_WITHIN_S = 15.0
LOOKS_S = 0.02


def reload(configuration: Path, master: Master) -> str | None:
    """Reload, and wait until the master has acted; say in a clause what went wrong, or None.

    qmgr leaves at every reload, and the new one is started when master has read everything and opened every new port
    (master/master.c; 58 reloads were 58 qmgrs, facts 2.1).
    """
    before = master.children("qmgr")
    status = _run("postfix", "-c", str(configuration), "reload")
    if status:
        return f"`postfix reload` failed with status {status}"
    deadline = time.monotonic() + ACTS_WITHIN_S
    while time.monotonic() < deadline and master.is_alive:
        now = master.children("qmgr")
        if now and not now & before:
            break
        time.sleep(LOOKS_S)
    return None if master.is_alive else "the Postfix master died at the reload"


def start(configuration: Path, queue: Path, unit: str | None) -> Master:
    """Start Postfix again after its master died: through the unit that it ran under. Raises PostfixError.

    Where there was no unit (a container without systemd) postfix(1) is run, whose master detaches itself.
    """
    command = ["systemctl", "restart", unit] if unit else ["postfix", "-c", str(configuration), "start"]
    status = _run(*command)
    deadline = time.monotonic() + ACTS_WITHIN_S
    while (master := find_master(queue)) is None and time.monotonic() < deadline:
        time.sleep(LOOKS_S)
    if master is None:
        raise PostfixError(
            f"Postfix is down, and `{' '.join(command)}` did not start it (status {status}); start it at once"
        )
    return master


def _run(*command: str) -> int:
    """Run a command without a terminal, so that what it says goes to the log; give its exit status."""
    try:
        ran = subprocess.run(  # noqa: S603 - our own words and the operator's directory
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            timeout=PATIENCE_S, env={"PATH": PATH}, cwd="/", start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PostfixError(f"`{' '.join(command)}` did not end within {PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise PostfixError(f"`{' '.join(command)}` cannot be run: {error.strerror}") from error
    return ran.returncode
