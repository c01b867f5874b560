"""The whole loop, played for people to see: a private Postfix, mailtls-keeper and mailtlsd, and clients of all ages.

`scripts/demo` sets the stage and runs this. It shows a client that breaks on STARTTLS, how it is diagnosed, let in and
delivers; who is not let in although he breaks the same way; what a person may do; what `mailtlsctl report` makes of
the log; and how all of it is undone. Whatever is shown is checked as well. Exit status 1 if any of it is not true.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import demo_doors
from tests.postfix.clients import (
    TLS10_ONLY,
    TLS12_RSA_ONLY,
    TLS13_MODERN,
    Act,
    Experience,
    breaks_on_starttls,
    falls_back,
    insists,
    monitor,
    scanner,
    sslv3_only,
)
from tests.postfix.conversation import Conversation, Server
from tests.postfix.netns import why_no_namespaces
from tests.postfix.verdicts import Report
from tests.postfix.world import POLICY, Ran, World

COLUMNS = 80
HEALTHY = "no failure"
PRINTER, STRANGER, BANK, COPIER = "127.7.0.8", "127.7.0.9", "127.7.0.10", "127.7.0.11"
METRICS = ("waivers", "decisions_total", "apply_total", "reaction_seconds_count", "reaction_seconds_sum")


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


class Truth:
    """What was shown, and whether it was so."""

    def __init__(self) -> None:
        self._facts: list[tuple[str, bool]] = []

    def holds(self, sentence: str, fact: bool) -> None:
        """Note one thing that the demo claims."""
        self._facts.append((sentence, fact))

    def tell(self) -> int:
        """Print all of it; give the exit status."""
        for sentence, fact in self._facts:
            say(sentence, first="yes  " if fact else "NO   ")
        wrong = sum(not fact for _, fact in self._facts)
        print(f"\n{len(self._facts) - wrong} of {len(self._facts)} are true.")
        return 1 if wrong else 0


def heading(words: str) -> None:
    """Print a heading."""
    print(f"\n{words}\n{'-' * len(words)}", flush=True)


def say(words: str, first: str = "") -> None:
    """Print a paragraph of 80 columns; all its lines begin where the first does, behind `first`."""
    print(textwrap.fill(words, COLUMNS, initial_indent=first, subsequent_indent=" " * len(first)), flush=True)


def tell(title: str, words: str) -> None:
    """Print who, and what happened."""
    print(title)
    say(words, "    ")


def run(world: World, *arguments: str) -> Ran:
    """Run mailtlsctl, and print the command and what it says."""
    print(f"\n$ mailtlsctl {shlex.join(arguments)}")
    ran = world.ctl(*arguments)
    print((ran.said + ran.complained).rstrip("\n"), flush=True)
    return ran


def look_up(world: World, address: str) -> str:
    """Print what the tables say of an address, and give it."""
    found = world.entry(address)
    kind = world.tables[0].partition(":")[0]
    print(f"\n$ postmap -q {address} {kind}:mailtls/discard cidr:mailtls/discard.cidr")
    print(found or "(no entry)", flush=True)
    return found


def offered(world: World, address: str, way_in: str = "smtp") -> bool:
    """Print whether STARTTLS is announced to an address, and give it."""
    there = "STARTTLS" in world.offers(address, way_in)
    say(f"{address} says EHLO: STARTTLS is {'announced' if there else 'not announced'}.")
    return there


# --- the acts ----------------------------------------------------------------------------------------------------


def set_up(world: World) -> None:
    """Say what runs."""
    heading("A private Postfix, mailtls-keeper and mailtlsd")
    say(
        f"Postfix takes mail on {world.postfix.address} port {world.postfix.ports['smtp']}; it has an ECDSA "
        f"certificate only, and smtpd_tls_protocols = {world.postfix.settings.protocols}. The tables that "
        "mailtls-keeper writes stand with -o on its port-25 service, nowhere else. mailtlsd follows mail.log, "
        "by this policy:"
    )
    print("\n" + textwrap.indent(POLICY.rstrip(), "    "))
    print()
    say("(default.toml leaves cleartext to persons, and lenient.toml waits ten minutes. Nobody has those here.)")
    print()
    tell(f"a bank's server ({BANK})", insists(TLS13_MODERN)(BANK, world.door()).words)


def the_printer(world: World, truth: Truth) -> None:
    """A client that breaks on STARTTLS fails, is diagnosed, is let in, and delivers."""
    heading("A printer behind a firewall that breaks STARTTLS")
    say("Before:")
    before = look_up(world, PRINTER)
    announced = offered(world, PRINTER)
    failed = breaks_on_starttls(3)(PRINTER, world.door())
    print()
    tell(f"a printer ({PRINTER})", failed.words)
    world.await_entry(PRINTER, there=True)
    print("\nAfter:")
    after = look_up(world, PRINTER)
    hidden = not offered(world, PRINTER)
    delivered = breaks_on_starttls()(PRINTER, world.door())
    print()
    tell(f"the printer again ({PRINTER})", delivered.words)
    step = world.await_step(PRINTER, kind="waiver", step="granted")
    explained = run(world, "explain", PRINTER)
    truth.holds(
        "The printer failed, without an entry in the tables.", not failed.delivered and announced and not before
    )
    truth.holds(
        "It was diagnosed: it goes on in plain SMTP after STARTTLS.",
        "wrong version number (reason 0x10B)" in explained.said,
    )
    truth.holds("mailtlsd had it let in, and the tables say so.", step["by"] == "mailtlsd" and "starttls" in after)
    truth.holds("STARTTLS is hidden from it, and its mail went through.", hidden and delivered.delivered)


def the_others(world: World, truth: Truth) -> None:
    """A scanner and a peer with good history break the same way, and are not let in."""
    heading("Two who break the same way, and are not let in")
    scanned = scanner(STRANGER, world.door())
    broke = breaks_on_starttls(3)(STRANGER, world.door())
    tell(f"a scanner ({STRANGER})", f"{scanned.words}; then it {broke.words}")
    broke = breaks_on_starttls(3)(BANK, world.door())
    tell(f"a bank's server ({BANK}), while somebody sits on its line", broke.words)
    world.await_(lambda: _failures(world, STRANGER) == 10 and _failures(world, BANK) == 3, "all failures are known")
    for address, rule, sentence in (
        (STRANGER, "scanner", "The scanner was not let in, because it is one."),
        (BANK, "good_history", "The bank was not let in: it has shown that it can do better."),
    ):
        run(world, "history", address)
        rules = {step["rule"] for step in world.history(address)}
        truth.holds(sentence, rule in rules and not look_up(world, address) and offered(world, address))


def _failures(world: World, address: str) -> int:
    return sum(peer["failures"] for peer in world.asked("peers", address)["peers"])


def by_hand(world: World, truth: Truth) -> None:
    """A person lets a copier in, which leaves port 587 alone, and ends that."""
    heading("A person decides")
    refused = run(world, "allow-legacy", COPIER, "--level", "legacy")
    allowed = run(world, "allow-legacy", COPIER, "--level", "cleartext", "--for", "7d", "--reason", "old copier")
    print()
    hidden = not offered(world, COPIER)
    secured, keywords = submission(world, COPIER)
    say(f"On port 587 STARTTLS is {'' if secured else 'not '}announced to it, and behind it: {keywords}.")
    revoked = run(world, "revoke", COPIER)
    print()
    restored = offered(world, COPIER)
    truth.holds("A level that has no door here was refused (exit status 4).", refused.status == 4)
    truth.holds("What a person allows holds from the next EHLO.", allowed.status == 0 and hidden)
    truth.holds("587 still offers STARTTLS, and then AUTH, to a waived address.", secured and "AUTH" in keywords)
    truth.holds("What a person revokes ends with the next EHLO.", revoked.status == 0 and restored)


def submission(world: World, address: str) -> tuple[bool, str]:
    """Tell whether the submission service announces STARTTLS to an address, and whether AUTH behind it."""
    with Conversation(address, world.door("submission")) as conversation:
        conversation.greet()
        if "STARTTLS" not in conversation.keywords or "AUTH" in conversation.keywords:
            return False, "-"
        conversation.secure(TLS13_MODERN)
        there = "AUTH" in conversation.keywords
        conversation.quit()
    return True, "AUTH" if there else "no AUTH"


def play(world: World) -> list[Experience]:
    """Let the cast meet Postfix at once, and wait until it has logged the end of every session."""
    server = Server(world.postfix.address, world.postfix.ports["smtp"])
    with ThreadPoolExecutor(len(CAST)) as stage:
        experiences = list(stage.map(lambda member: member.act(member.address, server), CAST))
    world.postfix.wait_for_sessions(
        {member.address: experience.connections for member, experience in zip(CAST, experiences, strict=True)}
    )
    return experiences


def the_report(world: World, truth: Truth) -> None:
    """Clients of all ages, and what `mailtlsctl report` makes of them."""
    heading("Clients of all ages")
    for member, experience in zip(CAST, play(world), strict=True):
        tell(f"{member.title} ({member.address})", experience.words)
    log = world.postfix.log
    print(f"\n$ mailtlsctl report {log.name}", flush=True)
    subprocess.run(["mailtlsctl", "report", log.name], check=True, cwd=log.parent, stderr=subprocess.STDOUT)
    report = Report(log)
    for member in CAST:
        found = diagnosis_of(report, member.address)
        truth.holds(f"{member.title} ({member.address}): {found}", found == member.diagnosis)


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


def how_it_stands(world: World, truth: Truth) -> None:
    """Status, waivers and metrics."""
    heading("How it stands")
    run(world, "status")
    run(world, "waivers")
    print("\nWhat Prometheus is told, among others:")
    metrics = world.metrics()
    wanted = re.compile(rf"mailtls_({'|'.join(METRICS)})(\{{[^}}]*\}})? (?!0\.0$)")
    print("\n".join(line for line in metrics.splitlines() if wanted.match(line)), flush=True)
    truth.holds("The metrics count one waiver, in cleartext.", 'mailtls_waivers{level="cleartext"} 1.0' in metrics)
    truth.holds(
        "They count one automatic grant, proved by a look-up.",
        'mailtls_apply_total{kind="grant",result="live"} 1.0' in metrics,
    )


def undo(world: World, truth: Truth) -> None:
    """Take back what was given, and stop."""
    heading("Everything undone")
    revoked = run(world, "revoke", PRINTER)
    gone = not look_up(world, PRINTER)
    restored = offered(world, PRINTER)
    run(world, "waivers")
    truth.holds("The printer's entry is gone, and STARTTLS is back.", revoked.status == 0 and gone and restored)
    reloads = sum("reload --" in line for line in world.postfix.lines())
    truth.holds("Postfix was not reloaded, not once.", not reloads)
    for service in (world.daemon, world.keeper):
        service.signal(signal.SIGTERM)
    ended = [service.wait() for service in (world.daemon, world.keeper)]
    truth.holds("mailtlsd and mailtls-keeper stopped as they were told.", ended == [0, 0])


def the_doors(truth: Truth) -> None:
    """Let old servers in by TLS; that takes a network of the demo's own."""
    heading("Doors for old servers")
    if why := why_no_namespaces():
        say(f"Not shown: {why}.")
        return
    demo_doors.play(run, say, truth.holds)


ACTS = (the_printer, the_others, by_hand, the_report, how_it_stands, undo)


def main() -> int:
    """Play, and check what was shown."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that Postfix is stopped
    os.environ["COLUMNS"] = str(COLUMNS)
    truth = Truth()
    with World() as world:
        set_up(world)
        for act in ACTS:
            act(world, truth)
        left = world.root
    truth.holds("Of Postfix, keeper and mailtlsd nothing is left.", not left.exists())
    the_doors(truth)
    heading("Is all of it true?")
    return truth.tell()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; Postfix, keeper and mailtlsd are stopped")
