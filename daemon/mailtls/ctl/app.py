"""The commands and options of `mailtlsctl`, as Typer reads them; what they do is in one file each.

Help is plain text, so that it reads the same in a pipe, on a dumb terminal and in any locale. Wrong usage is one
sentence on standard error and exit status 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from mailtls import __version__
from mailtls.core.printable import printable
from mailtls.ctl import output
from mailtls.ctl.shortcut import ReportOrder

# Typer brings Click's errors along, from 0.20 on under a name of its own; this finds their base in any version.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
NAME = "mailtlsctl"
USAGE = 2

app = typer.Typer(
    name=NAME,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say per peer why TLS of incoming mail fails, and what to do. Reads logs of Postfix and Dovecot; needs "
    "no root, no daemon, no configuration.",
    epilog="See mailtlsctl(1).  Shell completion: mailtlsctl --install-completion",
)


class Format(StrEnum):
    """How a report is printed."""

    TEXT = "text"
    JSON = "json"


_TIME = "2026-11-21, '2026-11-21 10:00' or RFC 3339; local time where no offset is given; never relative."
# Arguments are described in the command's text: Typer's own list of them would speak of `list[str]`.
Logs = Annotated[list[str], typer.Argument(metavar="LOG", hidden=True)]
Since = Annotated[str | None, typer.Option(metavar="TIME", help=f"Only lines from TIME on: {_TIME}")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only lines up to TIME, written likewise.")]


def obey(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; return its exit status."""
    try:
        status = app(args=list(arguments) or ["--help"], prog_name=NAME, standalone_mode=False)
    except _UsageError as error:
        output.complain(_one_sentence(error))
        return USAGE
    except typer.Abort:
        raise KeyboardInterrupt from None
    return (status or 0) if arguments else USAGE


def _one_sentence(error: Exception) -> str:
    text = printable(" ".join(str(getattr(error, "format_message", error.__str__)()).split()))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else NAME
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} See: {path} --help"


def _version(wanted: bool) -> None:
    if wanted:
        output.write([f"{NAME} {__version__}\n"])
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def report(
    logs: Logs,
    form: Annotated[Format, typer.Option("--format", help="Text to read, or one JSON object.")] = Format.TEXT,
    since: Since = None,
    until: Until = None,
    fail_on_findings: Annotated[
        bool, typer.Option("--fail-on-findings", help="Exit 1 where something needs a person (see mailtlsctl(1)).")
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also list every peer with its TLS versions and ciphers.")
    ] = False,
) -> int:
    """Report what fails in mail logs, for whom, why, and what to do.

    The server's own faults come first, then the failing peers, those whose mail does not arrive on top, then TLS
    versions and ciphers and totals. LOG is a file, plain or .gz .bz2 .xz .zst, or - for standard input. Exit
    status 0 whenever the logs could be read.

    \b
    Examples:
      mailtlsctl report /var/log/mail.log
      mailtlsctl report /var/log/mail.log.2.gz /var/log/mail.log.1
      mailtlsctl report --since 2026-11-21 --peers /var/log/mail.log
      journalctl -u 'postfix*' -o short-iso | mailtlsctl report -
      mailtlsctl report --format json /var/log/mail.log | jq .peers
    """
    from mailtls.ctl.report import report as run

    return run(ReportOrder(logs, form.value, since, until, fail_on_findings, peers))


@app.command()
def explain(
    peer: Annotated[str, typer.Argument(metavar="PEER", hidden=True)],
    logs: Annotated[
        list[str], typer.Option("--log", metavar="LOG", help="A log file, as for report; may be repeated.")
    ],
    more: Annotated[list[str] | None, typer.Argument(metavar="LOG", hidden=True)] = None,
    as_json: Json = False,
    since: Since = None,
    until: Until = None,
) -> int:
    """Explain one peer: what its lines prove, and what to do.

    Prints the evidence lines, what each proves, the diagnosis, the rule behind it, what else it could be, and what
    to do. PEER is an address, a network, a name as Postfix printed it, or a domain with a dot in front for all
    names below it. Exit status 1 where the logs do not speak of it.

    \b
    Examples:
      mailtlsctl explain 192.0.2.7 --log /var/log/mail.log
      mailtlsctl explain 2001:db8::/32 --log /var/log/mail.log.1 /var/log/mail.log
      mailtlsctl explain .example.com --json --log /var/log/mail.log
    """
    from mailtls.ctl.explain import explain as run

    return run(peer, [*logs, *(more or [])], as_json=as_json, since=since, until=until)


@app.command()
def simulate(
    logs: Logs,
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The policy to try, a TOML file.")],
    as_json: Json = False,
    since: Since = None,
    until: Until = None,
) -> int:
    """Print what a policy would have decided on logs, when, and why.

    Nothing is changed. The same logs and the same policy always give the same decisions, whatever the clock says.

    \b
    Examples:
      mailtlsctl simulate --policy policies/default.toml /var/log/mail.log
      mailtlsctl simulate --policy my.toml --since 2026-11-01 mail.log
      mailtlsctl simulate --policy my.toml --json mail.log | jq .decisions
    """
    from mailtls.ctl.reading import sessions_of
    from mailtls.ctl.simulate import run

    return run(policy, sessions_of(logs, since, until), as_json=as_json)
