"""The operator's will as it last could be read: the policy and the known-legacy list, for the keeper.

A file that is broken, or that others than root could have changed, is a fault, and the will stays as it was: a copy of
each good reading lies in the keeper's own directory, so that this holds over a restart as well.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mailtls.core.knownlegacy import NOBODY, parse_known_peers
from mailtls.core.policy import parse_policy
from mailtls.edge.policyfile import BESIDE, Will, read_will
from mailtls.edge.rootowned import ownership_fault
from mailtls.errors import ConfigError

POLICY = "policy.toml"
KNOWN = "known-legacy.toml"


class StandingWill:
    """`will`: None while nothing good was ever read; `fault`: a sentence where the files are not followed now."""

    def __init__(self, policy: Path, root: Path, copies: Path) -> None:
        self.path = policy
        self.will: Will | None = None
        self.fault: str | None = None
        self._root = root
        self._copies = copies
        self._seen: object = None

    def refresh(self) -> bool:
        """Read the files where they have changed since the last time; tell whether they were read."""
        now = self._signatures()
        if now == self._seen:
            return False
        self._seen = now
        try:
            self._read()
        except ConfigError as error:
            self.fault = f"{error} Until then the last good one holds."
            if self.will is None:
                self.will = self._last_good()
            if self.will is None:
                self.fault = f"{error} Until then nothing is given automatically."
        return True

    def _read(self) -> None:
        will = read_will(str(self.path))
        for name in (will.source, will.known_source):
            fault = ownership_fault(Path(name), self._root) if name is not None else None
            if fault is not None:
                raise ConfigError(f"{fault}.")
        self.will, self.fault = will, None
        self._seen = self._signatures()
        with suppress(OSError):  # a full disk; the will itself was read
            self._keep(will)

    def _keep(self, will: Will) -> None:
        self._copies.mkdir(mode=0o700, exist_ok=True)
        for name, source in ((POLICY, will.source), (KNOWN, will.known_source)):
            beside = self._copies / f"{name}.new"
            beside.write_bytes(Path(source).read_bytes() if source is not None else b"")
            beside.rename(self._copies / name)

    def _last_good(self) -> Will | None:
        try:
            policy = parse_policy((self._copies / POLICY).read_text("utf-8-sig"), POLICY)
            text = (self._copies / KNOWN).read_text("utf-8-sig")
            known = parse_known_peers(text, KNOWN, policy) if text else NOBODY
        except (OSError, UnicodeDecodeError, ConfigError):
            return None
        return Will(policy, known, str(self.path), None)

    def _signatures(self) -> object:
        named = self.will.known_source if self.will is not None else None
        paths = (self.path, self.path.parent / BESIDE, Path(named) if named is not None else self.path)
        return tuple(_signature(path) for path in paths)


def _signature(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_uid, status.st_mode
