"""postconf(1): what Postfix understands of a configuration directory, and what it complains about.

Only reading. Its words stand on stderr, always (facts 2.6); where it fails the text of the error is its own.

BUGS: an edited main.cf makes every program of Postfix wait until it is two seconds old (facts 2.5).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailtls.errors import PostfixError

PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What Postfix understands: parameters of main.cf, services of master.cf, their `-o`; and its warnings."""

    parameters: Mapping[str, str]
    services: Mapping[str, str]
    options: Mapping[str, str]
    warnings: tuple[str, ...]


class Postconf:
    """Asks postconf about one directory. Every method may raise PostfixError with Postfix's own words.

    Where the directory is a staged copy, `meant` is the real one, and stands in its place in every message.
    """

    def __init__(self, directory: Path, meant: Path | None = None) -> None:
        self.directory = directory
        self._meant = meant or directory

    def read(self) -> Reading:
        """Read everything that is set."""
        parameters, first = self._run("-n")
        services, second = self._run("-M")
        options, third = self._run("-P")
        warnings = dict.fromkeys((*first, *second, *third))
        return Reading(_pairs(parameters), _entries(services), _pairs(options), tuple(warnings))

    def values(self, *names: str, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the values that count, `$name` followed, for a service with these `-o`."""
        options = [word for name, value in (overrides or {}).items() for word in ("-o", f"{name}={value}")]
        said, _ = self._run("-x", *options, *names)
        return _pairs(said)

    def value(self, name: str) -> str:
        """Give one value as it is written, or the built-in one."""
        return self._run("-h", name)[0].strip()

    def builtin(self, *names: str, followed: bool = False) -> dict[str, str]:
        """Give the values that Postfix was built with; `followed`: with every `$name` in them."""
        return _pairs(self._run("-dx" if followed else "-d", *names)[0])

    def table_types(self) -> frozenset[str]:
        """Name the types of tables that this Postfix can read."""
        return frozenset(self._run("-m")[0].split())

    def _run(self, *arguments: str) -> tuple[str, list[str]]:
        command = ["postconf", "-c", str(self.directory), *arguments]
        said = f"postconf -c {self._meant} {arguments[0]}"
        try:
            ran = subprocess.run(  # noqa: S603 - our own words and the operator's configuration
                command, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, env={"PATH": PATH},
                text=True, errors="surrogateescape", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PostfixError(f"{said} did not end within {PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise PostfixError(f"{said} cannot be run: {error.strerror}; is Postfix installed?") from error
        words = [line.removeprefix("postconf: ") for line in self._meaning(ran.stderr).splitlines() if line.strip()]
        if ran.returncode:
            raise PostfixError(f"{said} failed with status {ran.returncode}: {'; '.join(words) or 'it said nothing'}")
        return self._meaning(ran.stdout), words

    def _meaning(self, text: str) -> str:
        return text.replace(str(self.directory), str(self._meant))


def _pairs(text: str) -> dict[str, str]:
    """Read `name = value` lines; postconf folds none of them when it does not write to a terminal."""
    lines = (line.partition(" =") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in lines if equals}


def _entries(text: str) -> dict[str, str]:
    """Read the lines of `postconf -M`, where an indented one goes on with the entry before it."""
    entries: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if not line[0].isspace():
            key = "/".join(words[:2])
            entries[key] = ""
        entries[key] = " ".join((*entries[key].split(), *words))
    return entries
