"""`mailtlsctl edit main.cf|master.cf`: as visudo. The editor works on a copy; a broken text never reaches Postfix."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from mailtls.ctl import output
from mailtls.ctl.applying import site_of, tell
from mailtls.errors import ConfigError, PostfixError, RefusedError
from mailtls.service.applyedit import edit as edit_in_site

EDITORS = ("VISUAL", "EDITOR")
USUAL = "sensible-editor"


def edit(name: str, *, config: str | None, directory: str | None) -> int:
    """Edit one of the two files. Raises ConfigError, RefusedError."""
    try:
        tell(edit_in_site(site_of(config, directory), name, run_editor, _again), "It stands, and Postfix was reloaded.")
    except PostfixError as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    return 0


def run_editor(path: Path) -> None:
    """Run the operator's editor on a file. Raises ConfigError, RefusedError."""
    chosen = next((value for name in EDITORS if (value := os.environ.get(name, "").strip())), USUAL)
    try:
        status = subprocess.run([*shlex.split(chosen), str(path)], check=False).returncode  # noqa: S603 - root's own
    except (OSError, ValueError) as error:
        raise ConfigError(f"the editor {chosen} cannot be run: {error}; set VISUAL or EDITOR") from error
    if status:
        raise RefusedError(f"the editor {chosen} ended with status {status}; nothing was changed")


def _again(why: str) -> bool:
    """Say why a text was refused, and ask a person at a terminal what now."""
    if not sys.stdin.isatty():
        return False
    output.complain(why)
    output.write(["What now? e: edit again, anything else: leave it as it is "])
    return sys.stdin.readline().strip().lower() == "e"
