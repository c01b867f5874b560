"""A private Postfix, with the programs of the Debian package and nothing else of the system's.

Configuration, queue, data, log and sockets lie under one temporary directory; the ports are high and on
127.0.0.1. The system's own Postfix, running or not, configured or not, is neither read nor touched. The
instance ends with the process that started it, even if that is killed: a guard waits on a pipe from it.

SECURITY: it accepts mail for example.test only, throws it away, relays nothing, and listens on loopback.
BUGS: postlogd drops what is logged while it is being stopped: wait for the line that matters before that.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from .certificates import Certificate, KeyType, make_certificate
from .configuration import ADDRESS, WAYS_IN, Settings, main_cf, master_cf

MASTER = Path("/usr/lib/postfix/sbin/master")
PATIENCE_S = 60.0
SPOOL = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")

# Runs when the pipe from us closes. (PR_SET_PDEATHSIG would not do: the kernel forgets it when the master
# changes its effective user. In a container nobody may reap a dead master: a zombie, state Z, counts as gone.)
GUARD = 'read -r _; kill "$0"; while grep -qs "^State:.[^Z]" "/proc/$0/status"; do sleep 0.1; done; rm -rf "$1"'


def why_not() -> str | None:
    """Say in one clause why a private Postfix cannot be run here; None if it can."""
    if not MASTER.exists():
        return "Debian's package postfix is not installed"
    if os.geteuid() != 0:
        return "a private Postfix needs root"
    return None


class PrivatePostfix:
    """A Postfix that lives as long as its `with` block.

    `address` and `ports` (by way in) say where it listens, `log` where it logs, `certificates` what it may show,
    `configuration` where main.cf is; `directory` is the top of all.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Take the settings; nothing is made or started yet."""
        self.settings = settings or Settings()
        self.address = ADDRESS
        self.ports: dict[str, int] = {}
        self.certificates: dict[KeyType, Certificate] = {}
        self._master: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivatePostfix:
        """Make the directories, start Postfix, and return when it takes connections."""
        self.directory = Path(tempfile.mkdtemp(prefix="mailtls-postfix-"))
        self.log = self.directory / "log" / "mail.log"
        self.configuration = self.directory / "etc" / "postfix"
        try:
            self._lay_out()
            with ExitStack() as reservation:
                self.ports = dict(zip(WAYS_IN, reserved_ports(len(WAYS_IN), reservation), strict=True))
                self._configure()
                self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Postfix with every process it started, and remove its directory."""
        self._stop()

    @property
    def running(self) -> bool:
        """Tell whether the master lives."""
        return self._master is not None and self._master.poll() is None

    def lines(self) -> list[str]:
        """Read what it has logged so far."""
        try:
            return self.log.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return []

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Wait until `count` lines of the log match; a TimeoutError shows how the log ends."""
        wanted = re.compile(pattern)

        def there() -> bool:
            return sum(1 for line in self.lines() if wanted.search(line)) >= count

        if not wait_until(lambda: there() or not self.running) or not there():
            end = "\n".join(self.lines()[-15:])
            raise TimeoutError(f"expected {count} lines like {pattern!r} in {self.log}, which ends:\n{end}")

    def wait_for_sessions(self, connections: Mapping[str, int]) -> None:
        """Wait until as many sessions have ended as each address has opened (`connections`: number by address)."""
        for address, count in connections.items():
            ended = rf"(disconnect from \S+|postscreen\[\d+\]: DISCONNECT )\[{re.escape(address)}\]"
            self.wait_for(ended, count)

    def _lay_out(self) -> None:
        """Make the tree with the owners and modes of Postfix's own conf/postfix-files."""
        owner, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        self.directory.chmod(0o755)
        for name in ("etc", "etc/postfix", "log", "queue", "queue/pid"):
            (self.directory / name).mkdir()
        self.log.touch(mode=0o644)  # from Postfix 3.9 on it would be readable by root only (maillog_file_permissions)
        for name in ("data", *(f"queue/{name}" for name in SPOOL)):
            (self.directory / name).mkdir(mode=0o700)
            os.chown(self.directory / name, owner, -1)
        for name, mode in (("queue/maildrop", 0o730), ("queue/public", 0o710)):
            (self.directory / name).mkdir()
            os.chown(self.directory / name, owner, group)
            (self.directory / name).chmod(mode)

    def _configure(self) -> None:
        """Make the certificates (RSA always: the legacy service shows it) and write main.cf and master.cf."""
        self.certificates = {kind: make_certificate(self.directory, kind) for kind in KeyType}
        shown = [self.certificates[kind] for kind in self.settings.key_types]
        main = self.configuration / "main.cf"
        main.write_text(main_cf(self.directory, self.settings, shown))
        # Every program waits until main.cf is two seconds old (util/dict.c:dict_load_file_xt): make it older.
        os.utime(main, (time.time() - 3, time.time() - 3))
        (self.configuration / "master.cf").write_text(master_cf(self.directory, self.settings, self.ports))

    def _start(self) -> None:
        """Start the master as our child (it makes a session of its own) and wait until it listens."""
        self._master = subprocess.Popen(
            [MASTER, "-c", self.configuration], stdin=subprocess.DEVNULL, cwd=self.directory / "queue"
        )
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, str(self._master.pid), self.directory], stdin=subprocess.PIPE, start_new_session=True
        )
        self.wait_for(r"postfix/master\[\d+\]: daemon started")

    def _stop(self) -> None:
        """End the master, which ends its process group (master/master_sig.c), and remove the directory."""
        if self._master is not None:
            master = self._master
            master.terminate()
            if not wait_until(lambda: master.poll() is not None and not group_lives(master.pid)):
                os.killpg(master.pid, signal.SIGKILL)
                master.wait()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        shutil.rmtree(self.directory, ignore_errors=True)


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds, at most `PATIENCE_S`; tell whether it does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


def group_lives(leader: int) -> bool:
    """Tell whether any process of this process group is left; what is dead and only not yet reaped does not count."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, group = stat.read_text().rpartition(") ")[2].split()[:3]  # proc(5)
            if int(group) == leader and state != "Z":
                return True
    return False


def reserved_ports(number: int, until: ExitStack) -> list[int]:
    """Find ports of 127.0.0.1 that nobody uses, and keep others off them until the stack is closed.

    Postfix listens with SO_REUSEPORT (util/inet_listen.c), so two instances that found the same port free would
    share its connections in silence. A socket that is bound, and only then allows that port to be used again, lets
    Postfix in, and nobody who looks for a free port.
    """
    sockets = [until.enter_context(socket.socket()) for _ in range(number)]
    for each in sockets:
        each.bind((ADDRESS, 0))
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return [each.getsockname()[1] for each in sockets]
