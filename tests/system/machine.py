"""A booted Debian for one test: systemd, Postfix and rsyslog of Debian's packages, and mailtls as an operator installs it.

What is written to its disk goes to memory and is gone with it. It has a network of its own, with a loopback and
nothing else. What scripts/install needs is there: on Debian 13 in packages of Debian; elsewhere the packages that the tests
themselves run on are lent to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.system.tree import NSPAWN, NoTreeError, has_packages, on_a_copy

CHECKOUT = Path(__file__).parent.parent.parent
SOURCE = "/usr/src/mailtls"
PATIENCE_S = 60.0
BOOT_S = 180.0  # a busy machine is no reason to test nothing
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
LENT = "/opt/packages"
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
ENTER = 'for group in $1; do echo $$ >"$group/cgroup.procs" || exit 1; done; shift; exec "$@"'


class Machine:
    """One running machine."""

    def __init__(self, nspawn: subprocess.Popen[bytes], console: Path) -> None:
        self._nspawn = nspawn
        self._console = console
        self._init = 0

    # --- commands --------------------------------------------------------------------------------------------

    def run(
        self, *command: str, check: bool = True, text: str | None = None, user: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, as root or as a user with his groups; fails the test with its words."""
        whole = ["nsenter", "-t", str(self._init), "-a", "env", "-i", *(f"{k}={v}" for k, v in ENVIRONMENT.items())]
        if user is not None:
            whole += ["setpriv", f"--reuid={user}", "--regid=nogroup", "--init-groups"]
        result = subprocess.run(
            [*whole, *command], capture_output=True, text=True, check=False, timeout=patience_s, input=text or ""
        )
        if check:
            assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def says(self, *command: str) -> str:
        """Give what a command prints."""
        return self.run(*command).stdout.strip()

    def script(self, text: str) -> str:
        """Run a shell script that stops at the first fault; give what it prints."""
        return self.run("sh", "-eu", "-c", text).stdout

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.run("sh", "-eu", "-c", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh", path, text=text)

    def exists(self, path: str) -> bool:
        """Tell whether there is something at a path."""
        return self.run("test", "-e", path, check=False).returncode == 0

    # --- units -----------------------------------------------------------------------------------------------

    def shows(self, unit: str, name: str) -> str:
        """Give one property of a unit, as systemd knows it."""
        return self.says("systemctl", "show", "-P", name, unit)

    def is_active(self, unit: str) -> bool:
        """Tell whether a unit is up."""
        return self.run("systemctl", "is-active", "-q", unit, check=False).returncode == 0

    def journal(self, unit: str) -> str:
        """Give what a unit said, and systemd of it."""
        return self.says("journalctl", "-q", "--no-pager", "-o", "short-unix", "-u", unit)

    def control(self, *words: str) -> dict[str, Any]:
        """Give what mailtlsctl prints with --json."""
        return dict(json.loads(self.says("mailtlsctl", *words, "--json")))

    def is_in_touch(self) -> bool:
        """Tell whether both programs answer, and mailtlsd knows the keeper's list."""
        result = self.run("mailtlsctl", "status", "--json", check=False)
        return result.returncode == 0 and json.loads(result.stdout)["mailtlsd"]["keeper"] is True

    def until(self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait for what must become true."""
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come true within {patience_s:g} s\n{self._news()}"
            time.sleep(0.05)

    def _news(self) -> str:
        return self.run("journalctl", "-q", "--no-pager", "-n", "60", check=False).stdout

    # --- its life --------------------------------------------------------------------------------------------

    def wait_until_up(self) -> None:
        """Wait until everything that starts at boot has started. Raises NoTreeError where that does not happen."""
        deadline = time.monotonic() + BOOT_S
        state = ""
        while state not in ("running", "degraded"):
            if self._nspawn.poll() is not None or time.monotonic() > deadline:
                said = " ".join(self._console.read_text("utf-8", "replace").split()[-40:])
                raise NoTreeError(f"systemd does not come up in systemd-nspawn here (state: {state or 'none'}): {said}")
            self._init = self._child()  # for a moment it is a process that only makes the one that stays
            if self._init:
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            time.sleep(0.1)

    def reboot(self) -> None:
        """Boot it again; its disk stays, what is in /run and /tmp goes."""
        before = self._init
        self.run("systemctl", "reboot", check=False)
        deadline = time.monotonic() + PATIENCE_S
        while self._child() in (0, before):
            assert time.monotonic() < deadline, f"it did not go down within {PATIENCE_S:g} s"
            time.sleep(0.05)
        self.wait_until_up()

    def _child(self) -> int:
        """The machine's process 1: the child of systemd-nspawn, which is the child of the shell; 0 where there is none."""
        pid = self._nspawn.pid
        for _ in range(2):
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
            except OSError:
                return 0  # it has ended
            if not children:
                return 0
            pid = int(children[-1])
        return pid

    def end(self) -> None:
        """Power it off, or cut its power."""
        if self._init and self._nspawn.poll() is None:
            self.run("systemctl", "poweroff", check=False)
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._cut_power()

    def _cut_power(self) -> None:
        """Kill process 1 of the machine, and all of it with that; systemd-nspawn alone would leave it running."""
        with suppress(ProcessLookupError):
            os.kill(self._child() or self._nspawn.pid, signal.SIGKILL)
        self._nspawn.wait()


@contextmanager
def booted(tree: Path) -> Iterator[Machine]:
    """Boot a machine with the checkout at /usr/src/mailtls, and the packages of the tests beside it."""
    with tempfile.TemporaryDirectory(prefix="mailtls-system-") as scratch:
        source = _filled(Path(scratch, "source"))
        binds = [f"--bind-ro={source}:{SOURCE}", *([] if has_packages(tree) else _lend(Path(scratch)))]
        disk, console = Path(scratch, "disk"), Path(scratch, "console")
        disk.mkdir()
        command = on_a_copy(tree, disk, *binds, "--private-network", "--console=pipe", "-b")
        with own_cgroups(Path(scratch).name) as groups:
            with console.open("wb") as output:
                nspawn = subprocess.Popen(
                    ["sh", "-c", ENTER, "sh", " ".join(groups), *command],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                )  # fmt: skip
            machine = Machine(nspawn, console)
            try:
                machine.wait_until_up()
                yield machine
            finally:
                machine.end()


@contextmanager
def own_cgroups(name: str) -> Iterator[list[str]]:
    """Make cgroups for one machine. Without systemd here nobody else does, and machines would stop each other's units."""
    roots = [root for root in map(Path, CGROUPS) if "--keep-unit" in NSPAWN and (root / "cgroup.procs").exists()]
    groups = [root / name for root in roots]
    for group in groups:
        group.mkdir()
    try:
        yield [str(group) for group in groups]
    finally:
        for group in groups:
            for inner, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    Path(inner).rmdir()


def _filled(source: Path) -> Path:
    """Copy what the machine gets, readable by everybody in it."""
    source.mkdir()
    for name in ("daemon", "policies", "systemd", "docs", "scripts"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(CHECKOUT / "pyproject.toml", source)
    subprocess.run(["chmod", "-R", "go=rX,u+rw", str(source)], check=True)
    source.parent.chmod(0o755)
    return source


def _lend(scratch: Path) -> list[str]:
    """Give the options by which the machine's own Python finds the packages of this one."""
    packages = [
        path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages") and path.is_dir()
    ]
    places = [f"{LENT}/{number}" for number in range(len(packages))]
    names = scratch / "lent.pth"
    names.write_text("\n".join(places) + "\n", "utf-8")
    target = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/dist-packages/lent.pth"
    binds = [f"--bind-ro={package.resolve()}:{place}" for package, place in zip(packages, places, strict=True)]
    return [*binds, f"--bind-ro={names}:{target}"]
