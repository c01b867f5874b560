"""postmap(1): builds tables, changes them, and asks them as Postfix programs do.

It runs with a main.cf of our own, which says nothing: what is asked does not depend on the site's, is not delayed by
an edit of it, and works while it is broken. Its exit status is 0 where something was found, 1 where nothing was, and 1
with words on stderr where a table cannot be used.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock

from mailtls.errors import PostfixError

COMMAND = "postmap"
PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
PATIENCE_S = 10.0
NO_LMDB = '; install the package postfix-lmdb, or write table_type = "hash" under [postfix] in mailtls.toml'
OWN_MAIN_CF = "# For the postmap of mailtls-keeper only; Postfix does not read this.\ncompatibility_level = 3.6\n"


class Postmap:
    """Runs postmap with the configuration in `directory`, which is made where it is missing.

    Every method may raise PostfixError with postmap's own words. `interrupt` ends what runs, from another thread.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: subprocess.Popen[str] | None = None
        self._lock = Lock()
        self._stopped = False

    def build(self, table: str) -> None:
        """Build `type:path` from the text in `path`; its file must not be there yet."""
        self._run([table], "")

    def change(self, table: str, entries: Mapping[str, str], gone: Iterable[str]) -> None:
        """Put entries into a table, and take keys out of it."""
        if entries:
            self._run(["-r", "-i", table], "".join(f"{key} {value}\n" for key, value in entries.items()))
        keys = "".join(f"{key}\n" for key in gone)
        if keys:
            self._run(["-d", "-", table], keys, may_find_nothing=True)

    def answers(self, tables: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
        """Ask tables in their order for each key; the first that answers is believed, as by smtpd."""
        asked, found = dict.fromkeys(keys), {}
        for table in tables:
            left = [key for key in asked if key not in found]
            if left:
                text = "".join(f"{key}\n" for key in left)
                found.update(_pairs(self._run(["-q", "-", table], text, may_find_nothing=True)))
        return found

    def entries(self, table: str) -> dict[str, str]:
        """List a table."""
        return _pairs(self._run(["-s", table], "", may_find_nothing=True))

    def interrupt(self) -> None:
        """End what runs now, and refuse whatever comes later."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()

    def _run(self, words: list[str], text: str, *, may_find_nothing: bool = False) -> str:
        command = [COMMAND, "-c", str(self._own_configuration()), *words]
        said = " ".join([COMMAND, *words])
        try:
            with self._started(command) as process:
                try:
                    out, err = process.communicate(text, PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise PostfixError(f"{said} did not end within {PATIENCE_S:.0f} s; see the mail log") from None
        except OSError as error:
            why = "is it installed? postmap comes with Postfix" if isinstance(error, FileNotFoundError) else error
            raise PostfixError(f"{said} cannot be run: {why}") from error
        finally:
            self._running = None
        if process.returncode == 0 or (may_find_nothing and process.returncode == 1 and "fatal:" not in err):
            return out
        hint = NO_LMDB if "unsupported dictionary type: lmdb" in err else ""
        raise PostfixError(f"{said} failed with status {process.returncode}: {_last_line(err)}{hint}")

    def _started(self, command: list[str]) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise PostfixError("the keeper is being stopped")
            pipe = subprocess.PIPE
            self._running = subprocess.Popen(  # noqa: S603 - our own words and the operator's table names
                command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", env={"PATH": PATH}
            )
            return self._running

    def _own_configuration(self) -> Path:
        """Make the configuration directory, with a main.cf that looks old enough to be read at once."""
        file = self._directory / "main.cf"
        if not file.exists():
            try:
                self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
                beside = file.with_suffix(".new")
                beside.write_text(OWN_MAIN_CF, "ascii")
                os.utime(beside, (time.time() - 60, time.time() - 60))
                beside.rename(file)
            except OSError as error:
                raise PostfixError(f"{file} cannot be written: {(error.strerror or '').lower()}") from error
        return self._directory


def _pairs(text: str) -> dict[str, str]:
    lines = (line.partition("\t") for line in text.splitlines())
    return {key: value for key, _, value in lines}


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
