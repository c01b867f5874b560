"""What lies under the mail server, as the doctor reads it: OpenSSL, its configuration, fail2ban, packages, Courier.

All are files under one root, and openssl(1).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from configparser import Error, RawConfigParser
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from mailtls.core.doctorlog import Change
from mailtls.core.doctorsystem import Ban, Jail, OpensslFacts
from mailtls.edge.openssl import ask
from mailtls.errors import StoreError

FORBIDDEN = "this user may not read it"
OPENSSL_FILE = "etc/ssl/openssl.cnf"
FAIL2BAN = "etc/fail2ban"
BANS = "var/lib/fail2ban/fail2ban.sqlite3"
PACKAGES = "var/log/dpkg.log"
COURIER = ("etc/courier/imapd-ssl", "etc/courier/pop3d-ssl", "etc/courier/esmtpd-ssl")
COURIER_TLS = "usr/bin/couriertls"
_LACKING = (("SSLv3", ("ciphers", "-s", "-ssl3", "ALL:@SECLEVEL=0")), ("RC4", ("ciphers", "RC4:@SECLEVEL=0")),
            ("3DES", ("ciphers", "3DES:@SECLEVEL=0")))  # fmt: skip
_OF_MAIL = ("postfix", "openssl", "libssl", "dovecot", "ca-certificates", "gnutls")
_TLS13_ONLY = "TLS_"
LARGEST = 1024 * 1024
MOST = 5000


def read_text(path: Path) -> str | None:
    """Read a file's text; None where there is none. Raises PermissionError."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("utf-8", "replace")
    except PermissionError:
        raise
    except OSError:
        return None


def openssl_facts() -> OpensslFacts:
    """Ask which OpenSSL this is, and what it is built without. Raises PostfixError."""
    version = (ask("version") or "").strip()
    return OpensslFacts(version, tuple(name for name, question in _LACKING if not _has(question)))


def _has(question: tuple[str, ...]) -> bool:
    said = ask(*question) or ""
    return any(not name.startswith(_TLS13_ONLY) for name in said.strip().split(":") if name)


def courier_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Give Courier's files of TLS settings. Raises PermissionError."""
    for place in COURIER:
        text = read_text(root / place)
        if text is not None:
            yield root / place, text


def courier_uses_gnutls(root: Path) -> bool:
    """Tell whether Courier's TLS program is linked with GnuTLS."""
    with suppress(OSError), (root / COURIER_TLS).open("rb") as file:
        return b"gnutls_" in file.read(LARGEST)
    return False


# --- fail2ban ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Jails:
    """The jails that are switched on, and the files that could not be read, each with the reason, a clause."""

    found: tuple[Jail, ...]
    unread: tuple[tuple[str, str], ...] = ()


def jails(root: Path) -> Jails:
    """Give the jails that are switched on, as jail.conf and what comes after it say (jail.conf(5))."""
    parser = RawConfigParser(strict=False, interpolation=None, allow_no_value=True)
    places: dict[str, str] = {}
    unread = []
    directory = root / FAIL2BAN
    if directory.is_dir() and not os.access(directory, os.R_OK | os.X_OK):
        unread.append((str(directory), FORBIDDEN))
    for path in (
        directory / "jail.conf", *sorted(directory.glob("jail.d/*.conf")), directory / "jail.local",
        *sorted(directory.glob("jail.d/*.local")),
    ):  # fmt: skip
        try:
            before = {name: dict(parser.items(name)) for name in parser.sections()}
            parser.read_string(read_text(path) or "", str(path))
            changed = (name for name in parser.sections() if dict(parser.items(name)) != before.get(name))
            places.update(dict.fromkeys(changed, str(path)))
        except PermissionError:
            unread.append((str(path), FORBIDDEN))
        except Error as error:
            unread.append((str(path), f"it does not parse ({type(error).__name__})"))
    return Jails(
        tuple(
            Jail(name, _value(parser, name, "filter"), _value(parser, name, "mode"), places.get(name, str(directory)))
            for name in parser.sections()
            if _value(parser, name, "enabled").lower() in ("true", "yes", "on", "1")
        ),
        tuple(unread),
    )


def _value(parser: RawConfigParser, section: str, name: str) -> str:
    return (parser.get(section, name, fallback="") or "").strip()


def bans(root: Path, now: datetime) -> tuple[Ban, ...]:
    """Give who is banned now; nobody where fail2ban keeps no memory. Raises PermissionError, StoreError."""
    path = root / BANS
    try:
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        return ()
    found = []
    asked = "select ip, jail, timeofban, bantime from bips"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as memory:
            for ip, jail, since, length in islice(memory.execute(asked), MOST):
                until = _end_of_ban(since, length)
                if until is None or until > now:
                    found.append(Ban(str(ip), str(jail), until))
    except sqlite3.Error as error:
        raise StoreError(f"it cannot be read: {error}") from error
    return tuple(found)


def _end_of_ban(since: object, length: object) -> datetime | None:
    """Say when a ban ends; None: never, as far as a calendar goes (bantime.increment makes it longer each time)."""
    if not isinstance(since, int) or not isinstance(length, int) or length < 0:
        return None
    try:
        return datetime.fromtimestamp(since, UTC) + timedelta(seconds=length)
    except (OverflowError, ValueError, OSError):
        return None


# --- changes -----------------------------------------------------------------------------------------------------


def package_changes(root: Path) -> Iterator[Change]:
    """Give when packages of mail and TLS were installed or upgraded, by dpkg's own log; its times are local."""
    for line in _latest(root / PACKAGES).splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] in ("upgrade", "install") and words[3].startswith(_OF_MAIL):
            with suppress(ValueError):
                at = datetime.fromisoformat(f"{words[0]} {words[1]}").astimezone()
                yield Change(at, f"{words[3].partition(':')[0]} was {words[2]}d".replace("installd", "installed"))


def _latest(path: Path) -> str:
    """Read the end of a log: what is near a failure of today stands there. Raises PermissionError."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LARGEST))
            return file.read(LARGEST).decode("utf-8", "replace")
    except PermissionError:
        raise
    except OSError:
        return ""


def file_changes(paths: Iterable[str]) -> Iterator[Change]:
    """Give when files were last written: a renewed certificate, an edited main.cf."""
    for path in paths:
        with suppress(OSError, ValueError):
            yield Change(datetime.fromtimestamp(Path(path).stat().st_mtime, UTC), f"{path} was written")
