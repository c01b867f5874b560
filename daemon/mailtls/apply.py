"""mailtls-apply: the program. Changes Postfix's configuration, in one transaction, and leaves.

    mailtls-apply setup [--dry-run] [--service NAME]...   tell Postfix of the tables of waivers, on port 25 only
    mailtls-apply unsetup [--dry-run]                     take that back, byte for byte
    mailtls-apply edit main.cf|master.cf                  an editor on a copy, which is tried before it counts
    mailtls-apply reload [--keep]                         reload, unless what is in place is broken
    mailtls-apply --recover                               at boot before Postfix: finish or undo what was interrupted

Exit status: 0 done; 2 usage; 4 refused or rolled back, with Postfix's own words.

SECURITY: root only, short-lived, listens nowhere.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mailtls import __version__
from mailtls.ctl import INTERRUPTED, edit, output, reload, setup, status_of
from mailtls.ctl.applying import tell, workplace_of
from mailtls.errors import MailtlsError
from mailtls.service.applyrecover import recover

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; give its exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        if asked.recover:
            tell(recover(workplace_of(asked.config)), "Done.")
            return 0
        if asked.command is None:
            parser.print_usage(sys.stderr)
            return USAGE
        return _run(asked)
    except MailtlsError as error:
        output.complain(str(error))
        return status_of(error)
    except KeyboardInterrupt:
        output.complain("interrupted; nothing was changed")
        return INTERRUPTED


def _run(asked: argparse.Namespace) -> int:
    match asked.command:
        case "setup":
            return setup.setup(asked.service, dry_run=asked.dry_run, config=asked.config, directory=asked.config_dir)
        case "unsetup":
            return setup.unsetup(dry_run=asked.dry_run, config=asked.config, directory=asked.config_dir)
        case "edit":
            return edit.edit(asked.file, config=asked.config, directory=asked.config_dir)
        case _:
            return reload.reload(keep=asked.keep, config=asked.config, directory=asked.config_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mailtls-apply", description="Changes Postfix's configuration in transactions.")
    parser.add_argument("--config", metavar="FILE", help="mailtls.toml, in place of /etc/mailtls/mailtls.toml")
    parser.add_argument("--version", action="version", version=f"mailtls-apply {__version__}")
    parser.add_argument("--recover", action="store_true", help="finish or undo what was interrupted, and leave")
    parser.add_argument("--config-dir", metavar="DIR", help="the directory of another Postfix (postmulti)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, words in (("setup", "tell Postfix of the tables of waivers"), ("unsetup", "take that back")):
        command = commands.add_parser(name, help=words)
        command.add_argument("--dry-run", action="store_true", help="print what would change, as a diff")
    commands.choices["setup"].add_argument(
        "--service", action="append", default=[], metavar="NAME", help="the service that takes mail, if not port 25"
    )
    commands.add_parser("edit", help="edit a file safely").add_argument("file", choices=("main.cf", "master.cf"))
    command = commands.add_parser("reload", help="reload, unless what is in place is broken")
    command.add_argument("--keep", action="store_true", help="only say what is broken; put nothing aside")
    return parser


if __name__ == "__main__":
    sys.exit(main())
