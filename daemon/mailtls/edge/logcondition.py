"""What is said of a log that is followed: one word for programs, one sentence for the operator.

The words: `following`; `waiting` (it never was there), `vanished` (it was), `denied` (it may not be read, or is nothing
that can be followed), `stalled` (the disk, or the program that gives the lines, fails).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailtls.core.logposition import Place


@dataclass(frozen=True, slots=True)
class Condition:
    """How it stands with a log."""

    word: str
    sentence: str


def following(name: str) -> Condition:
    """All is well."""
    return Condition("following", f"{name} is followed.")


def waiting(name: str) -> Condition:
    """There is no such file, and there was none."""
    return Condition(
        "waiting",
        f"{name} does not exist; it will be read from its first line. If the log is elsewhere, name it under [log] in"
        " mailtls.toml (`postconf maillog_file`), or set `journal = true` there.",
    )


def vanished(name: str) -> Condition:
    """There is no such file any more."""
    return Condition(
        "vanished",
        f"{name} is gone; it is read on when it returns, and a new file of that name from its first line. If none"
        " comes, see whether rsyslog, or Postfix, runs and where it writes: `postconf maillog_file`.",
    )


def denied(name: str) -> Condition:
    """It is there, and may not be read."""
    return Condition(
        "denied",
        f"{name} may not be read by this user; it is tried again every second. Check `ls -l` on it and on its"
        " directory; on Debian `usermod -a -G adm mailtls` and a restart of mailtlsd give the permission.",
    )


def not_a_log(name: str, kind: str) -> Condition:
    """It is a FIFO, a directory, a device: nothing that can be read again after a restart."""
    return Condition(
        "denied",
        f"{name} is {kind}, and only regular files can be followed: let Postfix (`postconf maillog_file`) or the syslog"
        " daemon write to a file, and name that under [log] in mailtls.toml.",
    )


def refused(name: str, error: OSError) -> Condition:
    """The path, or the file, cannot be reached: by permission, or because something fails."""
    if isinstance(error, PermissionError):
        return denied(name)
    return Condition(
        "stalled",
        f"{name} cannot be read: {error.strerror or error}; it is tried again every second. See `dmesg` for what the"
        " disk says.",
    )


def lost(name: str, place: Place, looked: float) -> str:
    """Say what is lost with a place that no file holds any more. `looked`: seconds since 1970."""
    since = datetime.fromtimestamp(looked, UTC).astimezone()
    rest = place.size - place.offset
    least = f"at least {rest} bytes that were not read, and " if rest > 0 else ""
    return (
        f"{name} was truncated, or rotated and its rotated file removed, after {since:%Y-%m-%d %H:%M:%S}, and no file"
        f" beside it that may be read holds the place where reading stopped: {least}whatever was written to the old"
        " file after that, is lost. Keep one rotated log uncompressed (`delaycompress` in logrotate.conf)."
    )
