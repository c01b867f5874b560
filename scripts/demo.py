"""The play behind scripts/demo: one private Postfix, seven clients, one report.

Prints what each client went through, then `mailtlsctl report` on the log that this Postfix wrote, and checks in
`mailtlsctl report --format json` that each client is diagnosed for what it is. Exit status 1 names those that are not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.postfix.clients import (
    TLS10_ONLY,
    TLS12_RSA_ONLY,
    TLS13_MODERN,
    Act,
    Experience,
    falls_back,
    insists,
    monitor,
    scanner,
    sslv3_only,
)
from tests.postfix.configuration import Settings
from tests.postfix.conversation import Server
from tests.postfix.instance import PrivatePostfix
from tests.postfix.verdicts import Report, mailtlsctl

COLUMNS = 80
HEALTHY = "no failure"


@dataclass(frozen=True, slots=True)
class Member:
    """One client of the play; `diagnosis` is the word that the report must have for it."""

    title: str
    address: str
    act: Act
    diagnosis: str


CAST = (
    Member("a modern server", "127.7.0.1", insists(TLS13_MODERN), HEALTHY),
    Member("a server with TLS 1.2, RSA only", "127.7.0.2", insists(TLS12_RSA_ONLY, 3), "rsa_only_or_weak_ciphers"),
    Member("a server that stopped at TLS 1.0", "127.7.0.3", insists(TLS10_ONLY, 3), "too_old"),
    Member("a printer that stopped at SSLv3", "127.7.0.4", insists(sslv3_only(), 2), "sslv3_or_older"),
    Member("a scanner", "127.7.0.5", scanner, "scanner"),
    Member("a monitor", "127.7.0.6", monitor(visits=4, pause_s=1.5), "monitor"),
    Member("an old server that falls back", "127.7.0.7", falls_back(TLS10_ONLY), "falls_back_to_cleartext"),
)


def play(postfix: PrivatePostfix) -> list[Experience]:
    """Let all clients meet Postfix at once, and wait until it has logged the end of every session."""
    server = Server(postfix.address, postfix.ports["smtp"])
    with ThreadPoolExecutor(len(CAST)) as stage:
        experiences = list(stage.map(lambda member: member.act(member.address, server), CAST))
    postfix.wait_for_sessions(
        {member.address: experience.connections for member, experience in zip(CAST, experiences, strict=True)}
    )
    return experiences


def heading(words: str) -> None:
    """Print a heading."""
    print(f"\n{words}\n{'-' * len(words)}", flush=True)


def tell(title: str, words: str) -> None:
    """Print who, and what happened, in lines of 80 columns."""
    print(title)
    print(textwrap.fill(words, COLUMNS - 4, initial_indent="    ", subsequent_indent="    "), flush=True)


def diagnosis_of(report: Report, address: str) -> str:
    """Say in one word what the report makes of an address."""
    rows = report.verdicts(address)
    if not rows:
        return "not in the report"
    peer = report.peer(address)
    if peer is not None:
        return str(peer["diagnosis"])
    failed = any(row["outcome"] != "tls_ok" for row in rows)
    return "no diagnosis" if failed else HEALTHY


def main() -> int:
    """Play, report, check."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that Postfix is stopped
    os.environ["COLUMNS"] = str(COLUMNS)
    with PrivatePostfix(Settings(protocols=">=TLSv1.2")) as postfix:
        heading("A private Postfix")
        print(f"on {postfix.address} port {postfix.ports['smtp']}; it has an ECDSA certificate only,")
        print(f"and smtpd_tls_protocols = {postfix.settings.protocols}")
        experiences = play(postfix)
        heading("What its clients went through")
        for member, experience in zip(CAST, experiences, strict=True):
            tell(f"{member.title} ({member.address})", experience.words)
        heading("mailtlsctl report mail.log")
        command = [mailtlsctl(), "report", postfix.log.name]
        subprocess.run(command, check=True, cwd=postfix.log.parent, stderr=subprocess.STDOUT)
        report = Report(postfix.log)
    heading("Is every client diagnosed for what it is?")
    wrong = 0
    for member in CAST:
        found = diagnosis_of(report, member.address)
        print(f"{member.address}  {member.title:<34} {found}")
        if found != member.diagnosis:
            wrong += 1
            print(f"{'':<11}NO: expected {member.diagnosis}")
    print(f"\n{len(CAST) - wrong} of {len(CAST)} clients diagnosed for what they are.")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; Postfix is stopped")
