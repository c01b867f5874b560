"""mailtls-apply: the program. Changes Postfix's configuration, in one transaction, and leaves.

    mailtls-apply setup|unsetup|edit|reload ...           as mailtlsctl has them: see mailtlsctl(1)
    mailtls-apply --recover                               at boot before Postfix: finish or undo what was interrupted
    mailtls-apply --examine                               say what is wrong with what is in place; change nothing
    mailtls-apply --guard                                 take a change back, if mailtlsd asks and it may be

systemd runs the last three (mailtls-recover, mailtls-examine, mailtls-guard); mailtlsd hears what came of the last two.

Exit status: 0 done; 2 usage; 4 refused or rolled back, with Postfix's own words.

SECURITY: root only, short-lived, listens nowhere.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mailtls import __version__
from mailtls.config import read_config
from mailtls.core.printable import printable
from mailtls.ctl import INTERRUPTED, edit, output, reload, setup, status_of
from mailtls.ctl.applying import Asked, DoorOptions, room_of, site_of, workplace_of
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.errors import MailtlsError, RefusedError
from mailtls.service.applychange import now
from mailtls.service.applyderive import drift
from mailtls.service.applyguard import guard
from mailtls.service.applyplan import Site
from mailtls.service.applyrecover import recover
from mailtls.service.applysurvey import survey

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; give its exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        if asked.task is not None:
            task: Callable[[argparse.Namespace], int] = asked.task
            return task(asked)
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
    which = Asked(asked.config, asked.config_dir, getattr(asked, "json", False))
    match asked.command:
        case "setup":
            doors = DoorOptions(asked.doors, asked.self_signed, asked.now, asked.policy_service, asked.milter)
            return setup.setup(asked.service, which, doors, dry_run=asked.dry_run)
        case "unsetup":
            return setup.unsetup(which, dry_run=asked.dry_run, now=asked.now)
        case "edit":
            return edit.edit(asked.file, which, guarded=not asked.no_guard)
        case _:
            return reload.reload(which, keep=asked.keep, guarded=not asked.no_guard)


# --- what systemd runs -------------------------------------------------------------------------------------------


def _recover(asked: argparse.Namespace) -> int:
    _say(recover(workplace_of(asked.config)).notes)
    return 0


def _examine(asked: argparse.Namespace) -> int:
    by_timer = os.environ.get("TRIGGER_UNIT", "").endswith(".timer")  # systemd.exec(5)
    found = survey(site_of(asked.config, asked.config_dir), now, _drift(asked), only_news=by_timer)
    _say((*found.faults, *found.drift) or (f"{found.configuration}: nothing would break Postfix",))
    return 0


def _drift(asked: argparse.Namespace) -> Callable[[Site], tuple[str, ...]]:
    """Compare the doors with the service that they are derived from; where that cannot be done, say why."""

    def compare(_: Site) -> tuple[str, ...]:
        try:
            return drift(room_of(asked.config, asked.config_dir))
        except RefusedError as error:
            return (f"the doors cannot be compared with the service they come from: {error}",)

    return compare


def _guard(asked: argparse.Namespace) -> int:
    places = read_config(asked.config).places
    usual = site_of(asked.config, asked.config_dir)

    def at(configuration: Path) -> Site:
        return site_of(asked.config, str(configuration))

    _say(guard(at, NoticeBoard(places.run), usual, now).notes)
    return 0


def _say(sentences: Sequence[str]) -> None:
    """Print sentences, one a line, for the journal."""
    output.write(f"{printable(sentence)}\n" for sentence in sentences)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mailtls-apply", description="Changes Postfix's configuration in transactions.")
    parser.add_argument("--config", metavar="FILE", help="mailtls.toml, in place of /etc/mailtls/mailtls.toml")
    parser.add_argument("--version", action="version", version=f"mailtls-apply {__version__}")
    parser.add_argument("--config-dir", metavar="DIR", help="the directory of another Postfix (postmulti)")
    tasks = parser.add_mutually_exclusive_group()
    for name, task, words in (
        ("--recover", _recover, "finish or undo what was interrupted, and leave"),
        ("--examine", _examine, "say what is wrong with what is in place; change nothing"),
        ("--guard", _guard, "take the last change back, if mailtlsd asks for it"),
    ):
        tasks.add_argument(name, dest="task", action="store_const", const=task, help=words)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, words in (("setup", "tell Postfix of the tables of waivers"), ("unsetup", "take that back")):
        command = commands.add_parser(name, help=words)
        command.add_argument("--dry-run", action="store_true", help="print what would change, as a diff")
        command.add_argument("--now", action="store_true", help="cut the sessions at doors that go")
    commands.choices["setup"].add_argument("--doors", metavar="LEVELS", help="of legacy-rsa,legacy,sslv3, or none")
    commands.choices["setup"].add_argument(
        "--policy-service", action=argparse.BooleanOptionalAction, help="let Postfix ask mailtlsd about messages"
    )
    commands.choices["setup"].add_argument(
        "--milter", action=argparse.BooleanOptionalAction, help="let Postfix tell mailtls-milter of messages"
    )
    commands.choices["setup"].add_argument("--self-signed", action="store_true", help="make the doors' certificate")
    commands.choices["setup"].add_argument(
        "--service", action="append", default=[], metavar="NAME", help="the service that takes mail, if not port 25"
    )
    commands.add_parser("edit", help="edit a file safely").add_argument("file", choices=("main.cf", "master.cf"))
    command = commands.add_parser("reload", help="reload, unless what is in place is broken")
    command.add_argument("--keep", action="store_true", help="only say what is broken; put nothing aside")
    for name in ("setup", "unsetup", "reload"):
        commands.choices[name].add_argument("--json", action="store_true", help="print one JSON object")
    for name in ("edit", "reload"):
        commands.choices[name].add_argument("--no-guard", action="store_true", help="never take it back by itself")
    return parser


if __name__ == "__main__":
    sys.exit(main())
