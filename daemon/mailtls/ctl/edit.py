"""`mailtlsctl edit main.cf|master.cf`: as visudo. The editor works on a copy; a broken text never reaches Postfix."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from mailtls.ctl import output
from mailtls.ctl.applying import Asked, ChangePage, carry_out, derive_for, site_of
from mailtls.errors import ConfigError, RefusedError
from mailtls.service.applyedit import edit as edit_in_site

EDITORS = ("VISUAL", "EDITOR")
USUAL = "sensible-editor"


def edit(name: str, asked: Asked, *, guarded: bool) -> int:
    """Edit one of the two files. Raises ConfigError."""

    def work() -> ChangePage:
        site = site_of(asked.config, asked.directory)
        derive = derive_for(asked, site)
        notes = edit_in_site(site, name, run_editor, _again, guarded=guarded, derive=derive).notes
        return ChangePage(command="edit", notes=notes or ("It stands, and Postfix was reloaded.",))

    return carry_out("edit", asked, work)


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
