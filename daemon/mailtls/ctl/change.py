"""The commands of `mailtlsctl` that change Postfix's configuration, as Typer reads them: setup, unsetup, edit, reload.

They are registered by `app.py`; what they do is in one file each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class EditedFile(StrEnum):
    """What can be edited."""

    MAIN = "main.cf"
    MASTER = "master.cf"


ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Another mailtls.toml than usual.")]
Directory = Annotated[
    str | None, typer.Option("--config-dir", metavar="DIR", help="Another Postfix: its directory (postmulti).")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would change, as a diff; change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
NoGuard = Annotated[
    bool, typer.Option("--no-guard", help="Let it stand whatever its peers do in the ten minutes after it.")
]
Service = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="NAME", help="The service that takes mail from outside, if not port 25."),
]
Doors = Annotated[
    str | None,
    typer.Option("--doors", metavar="LEVELS", help="Of legacy-rsa,legacy,sslv3, or none; else what differs."),
]
SelfSigned = Annotated[
    bool, typer.Option("--self-signed", help="Make an RSA certificate for the doors that nobody vouches for.")
]
PolicyService = Annotated[
    bool | None,
    typer.Option("--policy-service/--no-policy-service", help="Let Postfix ask mailtlsd of messages; else as before."),
]
Milter = Annotated[
    bool | None,
    typer.Option("--milter/--no-milter", help="Let Postfix tell mailtls-milter of messages; else as before."),
]
Now = Annotated[bool, typer.Option("--now", help="Cut the sessions at doors that go; else they are waited for.")]


def setup(
    service: Service = None,
    doors: Doors = None,
    self_signed: SelfSigned = False,
    policy_service: PolicyService = None,
    milter: Milter = None,
    now: Now = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: ConfigFile = None,
    directory: Directory = None,
) -> int:
    """Tell Postfix of the tables of waivers, and make doors for known peers.

    On the service of port 25 only, in one transaction: tried before Postfix hears of it, compared port by port
    afterwards, taken back where anything is not as it was. Done twice it changes nothing. Needs root. Exit status 4
    where it is refused or was taken back.

    A door is that service once more, at a port that only waived peers are sent to, with an RSA certificate beside
    the ECDSA one (legacy-rsa), or also as low as TLS 1.0 (legacy). It is made where it takes more than the service
    itself. For SSLv3, RC4 and 3DES (sslv3) a gateway stands before it, where Debian's libnss3 is installed.

    With --policy-service Postfix asks mailtlsd about each message at DATA and at its end, at doors also about each
    recipient. Where mailtlsd does not answer, Postfix goes on as if it had not asked.

    With --milter Postfix tells mailtls-milter of each message: it has to run (systemctl enable --now mailtls-milter).
    Where it does not, Postfix goes on without it. One of the two will do.

    \b
    Examples:
      mailtlsctl setup --dry-run
      mailtlsctl setup
      mailtlsctl setup --doors legacy-rsa
      mailtlsctl setup --doors none
      mailtlsctl setup --policy-service
      mailtlsctl setup --milter
      mailtlsctl setup --config-dir /etc/postfix-mx
      mailtlsctl setup --service 192.0.2.1:smtp
    """
    from mailtls.ctl.applying import Asked, DoorOptions
    from mailtls.ctl.setup import setup as run

    wanted = DoorOptions(doors, self_signed, now, policy_service, milter)
    return run(service or (), Asked(config, directory, as_json), wanted, dry_run=dry_run)


def unsetup(
    now: Now = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: ConfigFile = None,
    directory: Directory = None,
) -> int:
    """Take back what setup told Postfix.

    Byte for byte; where somebody edited it since, only what mailtls put there is taken out, and that is said. Needs
    root. Exit status 4 where it is refused or was taken back.

    \b
    Examples:
      mailtlsctl unsetup --dry-run
      mailtlsctl unsetup
    """
    from mailtls.ctl.applying import Asked
    from mailtls.ctl.setup import unsetup as run

    return run(Asked(config, directory, as_json), dry_run=dry_run, now=now)


def edit(
    file: Annotated[EditedFile, typer.Argument(metavar="FILE", hidden=True)],
    no_guard: NoGuard = False,
    config: ConfigFile = None,
    directory: Directory = None,
) -> int:
    """Edit main.cf or master.cf, as visudo does sudoers.

    The editor ($VISUAL, $EDITOR) works on a copy. A text that would break Postfix is refused with Postfix's words, and
    may be edited again; else it is put in place, Postfix is reloaded, and every port is looked at. For ten minutes it
    is taken back if peers that used to succeed begin to fail (where mailtlsd watches). Needs root. Exit status 4 where
    it is refused or was taken back.

    \b
    Examples:
      mailtlsctl edit main.cf
      VISUAL=nano mailtlsctl edit master.cf
      mailtlsctl edit --no-guard main.cf
    """
    from mailtls.ctl.applying import Asked
    from mailtls.ctl.edit import edit as run

    return run(file.value, Asked(config, directory), guarded=not no_guard)


def reload(
    keep: Annotated[bool, typer.Option("--keep", help="Only say what is broken; put nothing back.")] = False,
    no_guard: NoGuard = False,
    as_json: Json = False,
    config: ConfigFile = None,
    directory: Directory = None,
) -> int:
    """Reload Postfix, unless what is in place is broken.

    After an edit in place that would break Postfix the broken file is moved to NAME.refused-TIME, the last good bytes
    come back, and the difference is printed. Several reloads at once are one, and two are some seconds apart. Needs
    root. Exit status 4 where it is refused or was taken back.

    \b
    Examples:
      mailtlsctl reload
      mailtlsctl reload --keep
      mailtlsctl reload --json | jq -r .refused
    """
    from mailtls.ctl.applying import Asked
    from mailtls.ctl.reload import reload as run

    return run(Asked(config, directory, as_json), keep=keep, guarded=not no_guard)


COMMANDS = (setup, unsetup, edit, reload)
