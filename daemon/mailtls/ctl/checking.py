"""The commands of `mailtlsctl` that look at the server itself, as Typer reads them: doctor, export.

They are registered by `app.py`; what they do is in one file each. Nothing is changed by any of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Another mailtls.toml than usual.")]
Directory = Annotated[
    str | None, typer.Option("--config-dir", metavar="DIR", help="Another Postfix: its directory (postmulti).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class Exported(StrEnum):
    """What can be exported."""

    FAIL2BAN = "fail2ban"


def doctor(
    logs: Annotated[
        list[str] | None, typer.Option("--log", metavar="LOG", help="A log file, as for report; may be repeated.")
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="LOG", hidden=True)] = None,
    as_json: Json = False,
    nagios: Annotated[
        bool, typer.Option("--nagios", help="One line with performance data; exit 0, 1, 2, 3 as monitoring expects.")
    ] = False,
    handshakes: Annotated[
        bool, typer.Option("--handshakes", help="Instead: try random hellos, each foretold, on Postfix.")
    ] = False,
    count: Annotated[int, typer.Option("--count", min=1, max=100_000, metavar="N", help="So many hellos.")] = 500,
    services: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="NAME", help="With --handshakes: this service, not port 25 and its doors."),
    ] = None,
    config: ConfigFile = None,
    directory: Directory = None,
) -> int:
    """Say what is wrong with this server's own TLS, and what mends it.

    Looks at Postfix, Dovecot and Courier, their certificates, OpenSSL, fail2ban, and what the DNS says of this host;
    with --log also at what the server said of itself, and since when. Needs no mailtlsd, no setup, and no root, which
    sees more; what could not be seen is said. Nothing is changed. Exit status 0 where nothing needs a person, else 1;
    with --nagios 0, 1, 2 or 3.

    \b
    Examples:
      mailtlsctl doctor
      mailtlsctl doctor --log /var/log/mail.log.1 /var/log/mail.log
      mailtlsctl doctor --json | jq -r '.findings[] | .id + " " + .where'
      mailtlsctl doctor --nagios
      mailtlsctl doctor --handshakes --count 2000
    """
    if handshakes:
        from mailtls.ctl.doctorhandshakes import Order
        from mailtls.ctl.doctorhandshakes import handshakes as shake

        named = (*(logs or ()), *(more or ()))
        return shake(Order(count, as_json, config, directory, tuple(services or ()), named))
    if services:
        raise typer.BadParameter("--service belongs to --handshakes")
    if more and not logs:
        raise typer.BadParameter("LOG needs --log in front of the first log")
    from mailtls.ctl.doctor import Consultation
    from mailtls.ctl.doctor import doctor as run

    return run(Consultation((*(logs or ()), *(more or ())), as_json, nagios, config, directory))


COMMANDS = (doctor,)
