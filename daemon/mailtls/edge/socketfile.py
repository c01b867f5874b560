"""A UNIX socket to listen at: its file, who may connect, and that only one of us listens there.

Promises: a file that a dead process left is replaced, one that a living process listens at never is. The lock beside
it (`NAME.lock`) tells them apart: the kernel drops it with the process that holds it, so there is no moment in which
two who start together take each other for dead. Nobody connects before mode and group are set. On closing the file is
removed; the lock file stays, since whoever removed it could remove another's.

SECURITY: for directories that only their owner writes (/run/mailtls). What is no socket is not removed.
"""

from __future__ import annotations

import fcntl
import grp
import logging
import os
import socket
import stat
from pathlib import Path

from mailtls.errors import ConfigError, MailtlsError, RefusedError

LOG = logging.getLogger("mailtls.socketfile")
LONGEST_PATH = 107  # bytes: sockaddr_un.sun_path less its end, unix(7)
BACKLOG = 64


class SocketFile:
    """The socket at `path` of the program `owner`; `group`, where there is one of that name, may connect too."""

    def __init__(self, path: Path, owner: str, group: str | None = None) -> None:
        self.path = path
        self._owner = owner
        self._group = group
        self._lock: int | None = None
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Give the listening socket, not blocking; the same one until it is closed.

        Raises RefusedError where another process listens there, ConfigError where nobody could.
        """
        if self._socket is None:
            try:
                self._hold()
                self._socket = self._bind()
            except OSError as error:
                self.close()
                raise ConfigError(
                    f"{self.path}: no socket can be made here: {(error.strerror or str(error)).lower()}; the directory "
                    f"must belong to {self._owner}, which its systemd unit sees to."
                ) from error
            except MailtlsError:
                self.close()
                raise
        return self._socket

    def close(self) -> None:
        """Stop listening and remove the file."""
        if self._socket is not None:
            self.path.unlink(missing_ok=True)
            self._socket.close()
            self._socket = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self) -> None:
        if len(os.fsencode(self.path)) > LONGEST_PATH:
            raise ConfigError(
                f"{self.path}: a socket's path has at most {LONGEST_PATH} bytes; set a shorter root in mailtls.toml."
            )
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = os.open(self.path.with_name(f"{self.path.name}.lock"), flags, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError(
                f"another {self._owner} listens at {self.path}; stop it first: systemctl stop {self._owner}; or give "
                "this one a root of its own in its mailtls.toml."
            ) from error

    def _bind(self) -> socket.socket:
        self._remove_what_was_left()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            listener.bind(str(self.path))
            self._admit()  # nobody can connect before listen()
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def _remove_what_was_left(self) -> None:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise ConfigError(f"{self.path}: this is no socket, and is not removed; look what it is, and move it away.")
        self.path.unlink()

    def _admit(self) -> None:
        self.path.chmod(0o660)
        if self._group is None:
            return
        try:
            number = int(self._group) if self._group.isdecimal() else grp.getgrnam(self._group).gr_gid
        except KeyError:
            LOG.warning("%s: there is no group %s: only root and this user may ask", self.path, self._group)
            return
        if self.path.stat().st_gid == number:
            return  # by its directory's set-group-id bit (tmpfiles.d), which needs no right to give files away
        try:
            os.chown(self.path, -1, number)
        except PermissionError:
            LOG.warning(
                "%s: could not be given to group %s: only root and this user may ask; see to it that the directory has "
                "that group and the mode 2755: systemd-tmpfiles --create mailtls.conf",
                self.path,
                self._group,
            )
