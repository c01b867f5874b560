"""What `setup` wrote of Postfix, as it last could be read: `/etc/mailtls/postfix.toml`, in place of [postfix].

A view that is broken, or that others than root could have changed, is a fault, and the one before holds. A file that
is gone is none: `unsetup` has run, and what mailtls.toml says holds again.
"""

from __future__ import annotations

from pathlib import Path

from mailtls.core.operatorfile import parse_operator_file
from mailtls.core.postfixview import PostfixSettings
from mailtls.edge.operatortext import MB, read_operator_text
from mailtls.edge.rootowned import ownership_fault
from mailtls.errors import ConfigError


class StandingView:
    """`view`: what holds; `fault`: a sentence where the file is not followed now.

    `otherwise`: what holds without the file; `root`: where the file's owner and its parents' are looked at, from there
    down; None: nowhere.
    """

    def __init__(self, path: Path, otherwise: PostfixSettings, root: Path | None = None) -> None:
        self.path = path
        self.view = otherwise
        self.fault: str | None = None
        self._otherwise = otherwise
        self._root = root
        self._seen: object = ()

    def refresh(self) -> bool:
        """Read the file where it has changed since the last time; tell whether it was read."""
        signature = _signature(self.path)
        if signature == self._seen:
            return False
        self._seen = signature
        try:
            self.view = self._read() if signature is not None else self._otherwise
            self.fault = None
        except ConfigError as error:
            self.fault = f"{error} Until then the last good one holds; to write it anew: mailtlsctl setup."
        return True

    def _read(self) -> PostfixSettings:
        text = read_operator_text(self.path, MB, "view of Postfix")
        if self._root is not None and (fault := ownership_fault(self.path, self._root)) is not None:
            raise ConfigError(f"{fault}.")
        return parse_operator_file(PostfixSettings, text, str(self.path))


def _signature(path: Path) -> object:
    """Tell one content of a file from another; None: there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.errno
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_uid, status.st_mode
