"""The commands of `mailtlsctl` that count what peers use, as Typer reads them: floor, inventory; and notice.

They are registered by `app.py`; what they do is in one file each. Nothing is changed by any of them.
"""

from __future__ import annotations

from typing import Annotated

import typer

ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Another mailtls.toml than usual.")]
Days = Annotated[int, typer.Option(min=1, max=3660, metavar="N", help="Count the last N days.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most so many.")]


def floor(
    protocol: Annotated[str | None, typer.Argument(metavar="PROTOCOL", hidden=True)] = None,
    ciphers: Annotated[
        str | None, typer.Option("--ciphers", metavar="LIST", help="Only these: high, medium, or a list of OpenSSL.")
    ] = None,
    without_rsa: Annotated[bool, typer.Option("--without-rsa", help="As if there were no RSA certificate.")] = False,
    days: Days = 30,
    limit: Limit = 1000,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Say who would be lost by a stricter strict door.

    PROTOCOL is the lowest version that would be taken. Counts what peers negotiated on port 25, with their mails,
    the surest losses first. A version is sure; a cipher or a certificate is what a peer preferred, and whether it has
    others is known where mailtls-observer has seen its hello. Nothing is changed.

    \b
    Examples:
      mailtlsctl floor TLSv1.2
      mailtlsctl floor TLSv1.2 --days 90
      mailtlsctl floor --ciphers high --without-rsa --json | jq .floor.peers
    """
    from mailtls.ctl.floor import floor as run

    return run(
        protocol, ciphers=ciphers, without_rsa=without_rsa, days=days, limit=limit, as_json=as_json, config=config
    )


def inventory(
    days: Days = 30,
    limit: Limit = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each day and kind.")] = False,
    as_json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Say what peers use: versions, ciphers, keys, certificates.

    At port 25, with the number of peers and messages, and how it changed over the days. What Postfix itself told
    (setup --policy-service or --milter) and what the log told stand beside each other: it is the same mail twice.

    \b
    Examples:
      mailtlsctl inventory
      mailtlsctl inventory --days 365 --csv > tls.csv
      mailtlsctl inventory --json | jq '.inventory.rows[] | select(.tls_version == "TLSv1")'
    """
    from mailtls.ctl.inventory import inventory as run

    return run(days=days, limit=limit, as_json=as_json, as_csv=as_csv, config=config)


def notice(
    peer: Annotated[str, typer.Argument(metavar="PEER", hidden=True)],
    writer: Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Who writes.")] = None,
    config: ConfigFile = None,
) -> int:
    """Draft a mail to PEER's postmaster.

    What was seen, what that server would have to change, and, where the policy phases something out, by when. It is
    printed and not sent. PEER is an address, a network, a name or .domain. Exit status 1 where nothing is wrong.

    \b
    Examples:
      mailtlsctl notice 192.0.2.7
      mailtlsctl notice .bank.example --from postmaster@example.com > draft.eml
    """
    from mailtls.ctl.notice import notice as run

    return run(peer, writer=writer, config=config)


COMMANDS = (floor, inventory, notice)
