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
from mailtls.core.level import Level
from mailtls.core.printable import printable
from mailtls.ctl import change, checking, counting, output
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
    help="Say per peer why TLS of incoming mail fails, and let those in that cannot do better. report, simulate and "
    "explain --log read logs of Postfix and Dovecot, and need no root, no daemon, no configuration; the others ask "
    "mailtlsd, and allow-legacy and revoke the keeper; setup, unsetup, edit and reload change Postfix's configuration.",
    epilog="See mailtlsctl(1).  Shell completion: mailtlsctl --install-completion",
)


class Format(StrEnum):
    """How a report is printed."""

    TEXT = "text"
    JSON = "json"


_TIME = "2026-11-21, '2026-11-21 10:00' or RFC 3339, local time where no offset is given; or 24h, 7d before now."
# Arguments are described in the command's text: Typer's own list of them would speak of `list[str]`.
Logs = Annotated[list[str], typer.Argument(metavar="LOG", hidden=True)]
Since = Annotated[str | None, typer.Option(metavar="TIME", help=f"Only lines from TIME on: {_TIME}")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only lines up to TIME, written likewise.")]
ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Another mailtls.toml than usual.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most N, the latest.")]
PeerArgument = Annotated[str, typer.Argument(metavar="PEER", hidden=True)]
OptionalPeer = Annotated[str | None, typer.Argument(metavar="PEER", hidden=True)]


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
    peer: PeerArgument,
    logs: Annotated[
        list[str] | None, typer.Option("--log", metavar="LOG", help="A log file, as for report; may be repeated.")
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="LOG", hidden=True)] = None,
    as_json: Json = False,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
) -> int:
    """Explain one peer: what its lines prove, and what to do.

    Prints the evidence lines, what each proves, the diagnosis, the rule behind it, what else it could be, and what
    to do. PEER is an address, a network, a name as Postfix printed it, or a domain with a dot in front for all
    names below it. Without --log mailtlsd is asked what it remembers, and why it decided what it decided. Exit
    status 1 where the logs, or mailtlsd, do not know the peer.

    \b
    Examples:
      mailtlsctl explain 192.0.2.7
      mailtlsctl explain 192.0.2.7 --log /var/log/mail.log
      mailtlsctl explain 2001:db8::/32 --log /var/log/mail.log.1 /var/log/mail.log
      mailtlsctl explain .example.com --json --log /var/log/mail.log
    """
    if logs:
        from mailtls.ctl.explain import explain as run

        return run(peer, [*logs, *(more or [])], as_json=as_json, since=since, until=until)
    if more or since is not None or until is not None:
        raise typer.BadParameter("LOG, --since and --until need --log in front of the first log")
    from mailtls.ctl.remembered import explain as remember

    return remember(peer, as_json=as_json, config=config)


@app.command()
def simulate(
    logs: Logs,
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The policy to try, a TOML file.")],
    as_json: Json = False,
    since: Since = None,
    until: Until = None,
) -> int:
    """Print what a policy would have decided on logs, when, and why.

    Nothing is changed. The same logs and the same policy always give the same decisions, whatever the clock says,
    unless --since or --until are relative to it.

    \b
    Examples:
      mailtlsctl simulate --policy policies/default.toml /var/log/mail.log
      mailtlsctl simulate --policy my.toml --since 2026-11-01 mail.log
      mailtlsctl simulate --policy my.toml --json mail.log | jq .decisions
    """
    from mailtls.ctl.reading import sessions_of
    from mailtls.ctl.simulate import run

    return run(policy, sessions_of(logs, since, until), as_json=as_json)


@app.command()
def status(as_json: Json = False, config: ConfigFile = None) -> int:
    """Say how mailtlsd and the keeper fare.

    What needs a person stands first, then logs, peers, waivers. Exit status 3 where one of the two does not answer;
    the other is told all the same.

    \b
    Examples:
      mailtlsctl status
      mailtlsctl status --json | jq .mailtlsd.sources
    """
    from mailtls.ctl.status import status as run

    return run(as_json=as_json, config=config)


@app.command()
def peers(
    peer: OptionalPeer = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only peers whose TLS fails at present.")] = False,
    limit: Limit = 1000,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """List the peers that mailtlsd knows.

    The latest first. PEER, an address, a network, a name, or a domain with a dot in front, bounds it to those.

    \b
    Examples:
      mailtlsctl peers --failing
      mailtlsctl peers .example.com
      mailtlsctl peers --json | jq '.peers[] | select(.tls_version == "TLSv1")'
    """
    from mailtls.ctl.peers import peers as run

    return run(peer, failing=failing, limit=limit, as_json=as_json, config=config)


@app.command()
def waivers(as_json: Json = False, config: ConfigFile = None) -> int:
    """List the waivers that stand.

    For whom, how far, until when, whose; the next to end first. Where mailtlsd does not answer, the keeper's own list
    is printed, with exit status 3.

    \b
    Examples:
      mailtlsctl waivers
      mailtlsctl waivers --json | jq -r '.waivers[].network'
    """
    from mailtls.ctl.waivers import waivers as run

    return run(as_json=as_json, config=config)


@app.command()
def history(peer: OptionalPeer = None, limit: Limit = 200, as_json: Json = False, config: ConfigFile = None) -> int:
    """List what was decided and done, and why.

    The latest first. PEER, an address, a network, a name or .domain, bounds it to those.

    \b
    Examples:
      mailtlsctl history
      mailtlsctl history 192.0.2.7 --limit 1000
    """
    from mailtls.ctl.history import history as run

    return run(peer, limit=limit, as_json=as_json, config=config)


@app.command()
def watch(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    config: ConfigFile = None,
) -> int:
    """Show what happens, as it happens.

    Sessions, decisions and waivers, until Ctrl-C. On a terminal the latest fill the screen; in a pipe each is a line.

    \b
    Examples:
      mailtlsctl watch
      mailtlsctl watch --json | jq -c 'select(.kind == "decision")'
    """
    from mailtls.ctl.watch import watch as run

    return run(as_json=as_json, config=config)


@app.command()
def hello(
    file: Annotated[str, typer.Argument(metavar="FILE.pcap", hidden=True)],
    port: Annotated[
        list[int] | None,
        typer.Option("--port", min=1, max=65535, metavar="PORT", help="Instead of 25, 465 and 587; may be repeated."),
    ] = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Say what clients offer in captured packets.

    And which doors would take them, and the narrowest of these. FILE is what tcpdump or dumpcap wrote, pcap or
    pcapng, or - for standard input. Needs no daemon and no root. Exit status 0 whenever the file could be read.

    \b
    Examples:
      tcpdump -i any -c 2000 -w mail.pcap tcp port 25
      mailtlsctl hello mail.pcap
      mailtlsctl hello --json mail.pcap | jq '.hellos[] | select(.narrowest != "strict") | .peer_ip'
    """
    from mailtls.ctl.hello import hello as run

    return run(file, ports=port or (), as_json=as_json, config=config)


@app.command("allow-legacy")
def allow_legacy(
    peer: PeerArgument,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="How far down; else what its failures ask for.")
    ] = None,
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 90m, 24h, 7d, 4w.")] = "30d",
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for whoever reads it later.")] = None,
    senders: Annotated[
        list[str] | None, typer.Option("--only-from", metavar="DOMAIN", help="Good for this sender domain only.")
    ] = None,
    recipients: Annotated[
        list[str] | None, typer.Option("--only-to", metavar="ADDRESS", help="Good for this recipient or domain only.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--max-size", metavar="N", help="Good for messages up to N only: 500k, 10M.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Let PEER in at a lower level for some time.

    Returns when a look-up has proved it to be live. PEER is an address or a network. For a name the addresses that
    were seen under it are printed with the commands to type; nothing is granted, exit status 2. Without --level the
    narrowest level is taken that the peer's failures ask for, legacy where none are known, never cleartext. Needs
    root or the operators' group. Exit status 4 where the keeper refuses. --only-from and --only-to may be given several
    times; they and --max-size are held by the policy service (mailtlsctl setup --policy-service) or the milter.

    \b
    Examples:
      mailtlsctl allow-legacy 192.0.2.7 --level cleartext --for 7d
      mailtlsctl allow-legacy 192.0.2.7 --level legacy --only-to scans@example.com
      mailtlsctl allow-legacy 192.0.2.7 --dry-run
      mailtlsctl allow-legacy 192.0.2.0/28 --level legacy --reason "old copiers"
    """
    from mailtls.ctl.allow import Wish, allow, read_limits

    limits = read_limits(senders or (), recipients or (), size)
    return allow(Wish(peer, level, length, reason, dry_run, as_json, config, limits))


@app.command()
def revoke(
    peer: PeerArgument,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for whoever reads it later.")] = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """End the waiver of PEER before its time.

    Returns when a look-up has proved it to be live. PEER is the address or network of the waiver. For a name the
    waivers of its addresses are printed with the commands to type, exit status 2. Needs root or the operators' group.
    Exit status 4 where the keeper refuses.

    \b
    Examples:
      mailtlsctl revoke 192.0.2.7
      mailtlsctl revoke 192.0.2.0/24 --reason "all copiers replaced"
    """
    from mailtls.ctl.revoke import revoke as run

    return run(peer, reason=reason, as_json=as_json, config=config)


for _command in (*counting.COMMANDS, *change.COMMANDS, *checking.COMMANDS):
    app.command()(_command)
