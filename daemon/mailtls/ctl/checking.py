"""The commands of `mailtlsctl` that look at a server, as Typer reads them: doctor, export, probe.

They are registered by `app.py`; what they do is in one file each. Nothing is changed by any of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mailtls.core.probetarget import Service

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
    2 for wrong usage or where there is nothing to examine; with --nagios 0, 1 for warnings, 2 for errors, 3 where
    nothing could be looked at.

    \b
    Examples:
      mailtlsctl doctor
      mailtlsctl doctor --log /var/log/mail.log.1 /var/log/mail.log
      mailtlsctl doctor --json | jq -r '.findings[] | .severity + " " + .id'
      mailtlsctl doctor --nagios
      mailtlsctl doctor --handshakes --count 2000
    """
    if handshakes:
        if nagios:
            raise typer.BadParameter("--nagios is about findings, and --handshakes has none; ask for one of them")
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


def probe(
    target: Annotated[str | None, typer.Argument(metavar="HOST[:PORT]", hidden=True)] = None,
    service: Annotated[
        Service | None, typer.Option(case_sensitive=False, help="What is spoken there; else the port tells, or smtp.")
    ] = None,
    peer: Annotated[
        str | None, typer.Option("--as", metavar="PEER", help="Send only what this peer is known to offer.")
    ] = None,
    delay: Annotated[
        float, typer.Option(min=0, max=60, metavar="SECONDS", help="Between two connections.")
    ] = 0.05,
    patience: Annotated[
        float, typer.Option("--timeout", min=0.1, max=300, metavar="SECONDS", help="The most for one connection.")
    ] = 15,
    most: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most N connections.")] = 1000,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Ask a mail server what it offers.

    Versions from SSLv2 to TLS 1.3, cipher suites and their order, certificates, groups, names, tickets, and whether
    it obeys a command behind STARTTLS; one connection a question. HOST is a name or an address, an IPv6 address in
    brackets where a port follows; without it this machine is asked. Needs no daemon and no root; --as asks mailtlsd.
    Exit status 1 where something is weak (the list is in mailtlsctl(1)), or where the server refuses that peer, 3
    where the server cannot be asked.

    \b
    Examples:
      mailtlsctl probe
      mailtlsctl probe mx.example.com
      mailtlsctl probe '[2001:db8::1]:465' --service smtps
      mailtlsctl probe mx.example.com --json | jq '.versions[] | select(.offered)'
      mailtlsctl probe --as 192.0.2.7
    """
    from mailtls.ctl.probe import ProbeWish
    from mailtls.ctl.probe import probe as run

    wish = ProbeWish(target, service, delay, patience, most, as_json)
    if peer is None:
        return run(wish)
    from mailtls.ctl.probeas import probe_as

    return probe_as(peer, wish, config)


def export(
    what: Annotated[Exported, typer.Argument(metavar="fail2ban", hidden=True)],
    logs: Annotated[
        list[str] | None, typer.Option("--log", metavar="LOG", help="From this log, not mailtlsd; may be repeated.")
    ] = None,
    config: ConfigFile = None,
) -> int:
    """Print whom fail2ban should leave alone.

    Peers with a waiver, and mail servers whose handshakes fail: as mailtlsd knows them, or as logs show them. It is a
    file for fail2ban, and names only jails that count failed handshakes. Nothing is changed. Exit status 3 where
    mailtlsd does not answer; the keeper's waivers are printed then.

    \b
    Examples:
      mailtlsctl export fail2ban > /etc/fail2ban/jail.d/mailtls.local
      mailtlsctl export fail2ban --log /var/log/mail.log
    """
    from mailtls.ctl.export import fail2ban

    return fail2ban(tuple(logs or ()), config)


COMMANDS = (doctor, export, probe)
