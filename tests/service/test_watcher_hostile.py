"""A log into which strangers write what they like: nobody else is charged, nothing grows, nothing reaches a terminal.

Everything is the real thing: both programs as processes, and mailtlsctl's own output.
"""

from __future__ import annotations

import re
import select
import socket
import subprocess
import urllib.request

from ctl.program import PROGRAM, environment
from mailtls.core.controlprotocol import AskStatus

from .installation import Installation, installed, trial
from .traffic import BREAKS_ON_STARTTLS, fails_with, gets_through, stamped

VICTIM = "192.0.2.1"
STRANGER = "203.0.113.5"
BREAKER = "203.0.113.6"
LAST = "203.0.113.99"
FORGED = "SSL_accept error from bank.example.com[192.0.2.1]: -1"
WHOLE = f"Nov 21 10:00:00 mx postfix/smtpd[77]: {FORGED}"
LIBRARY = f"warning: TLS library problem: {BREAKS_ON_STARTTLS}"
LOST = "lost connection after STARTTLS from bank.example.com[192.0.2.1]"

SAID_BY_STRANGERS = (
    "smtpd: connect from unknown[203.0.113.5]",
    "smtpd: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 450 4.7.1 <{it}>: Helo command rejected: Host not found; "
    "from=<a@example.org> to=<b@example.com> proto=ESMTP helo=<{it}>",
    "smtpd: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 554 5.7.1 blocked; {it}",
    "smtpd: warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: generic failure, sasl_username={it}",
    "smtpd: warning: non-SMTP command from unknown[203.0.113.5]: {it}",
    "smtpd: improper command pipelining after EHLO from unknown[203.0.113.5]: {it}\\r\\n{it}",
    "smtpd: warning: Illegal address syntax from unknown[203.0.113.5] in MAIL command: {it}",
    "smtpd: warning: hostname {it} does not resolve to address 203.0.113.5",
    "smtpd: 4ABC: client=unknown[203.0.113.5], sasl_method=LOGIN, sasl_username={it}",
    "smtpd: disconnect from unknown[203.0.113.5] ehlo=1 quit=1 commands=2",
    "cleanup: 4ABC: warning: header Subject: {it} from unknown[203.0.113.5]; from=<{it}> to=<b@example.com>",
    "cleanup: 4ABC: message-id=<{it}>",
    "qmgr: 4ABC: from=<{it}>, size=1, nrcpt=1 (queue active)",
    "smtp: 4ABC: to=<b@example.com>, relay=x[203.0.113.5]:25, status=bounced (host said: 550 {it})",
    "postscreen: PREGREET 60 after 0.1 from [203.0.113.5]:4711: EHLO {it}",
    "postscreen: NOQUEUE: reject: RCPT from [203.0.113.5]:4711: 550 5.7.1 blocked; helo=<{it}>",
    "postscreen: COMMAND PIPELINING from [203.0.113.5]:4711 after EHLO: {it}",
    "dovecot: imap-login: Info: Disconnected (auth failed, 1 attempts in 2 secs): user=<{it}>, method=PLAIN, "
    "rip=203.0.113.5, lip=192.0.2.25, session=<a>",
    "dovecot: imap-login: Aborted login (no auth attempts): user=<>, rip=203.0.113.5, {it}, rip=192.0.2.1",
    "opendkim: 4ABC: {it}",
)
ESCAPES = (
    "\x1b]0;owned\x07", "\x1b[2J\x1b[1;1H", "\x9b31m", "\xc2\x9b31m", "\u202egnp", "\x08\x08", "\r", "\x1b[31m[bold]x[/]",
)  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def append(place: Installation, *lines: str) -> None:
    with place.log.open("ab") as file:
        file.writelines(line.encode("latin-1", "replace") + b"\n" for line in lines)


def forged() -> list[str]:
    """Every place where a stranger's words stand, with everything that would charge the victim."""
    lines = []
    for pid, template in enumerate(SAID_BY_STRANGERS * 5):
        program, _, text = template.partition(": ")
        tag = "dovecot" if program == "dovecot" else f"postfix/{program}[{77 + pid % 3}]"
        for words in (FORGED, WHOLE, LIBRARY, LOST, f"] {FORGED}", f"[{FORGED}", f"\t{WHOLE}", f"> {FORGED}"):
            head = stamped(1, "").partition(" mx ")[0]
            lines.append(f"{head} mx {tag}: {text.replace('{it}', words)}")
    return lines


def finished(place: Installation, sessions: int = 1) -> None:
    """Wait until everything that stands in the log was read."""
    append(place, *(stamped(7, text) for text in gets_through(LAST)))
    place.waits_until_it_knows(LAST, sessions)


def tells(watch: subprocess.Popen[bytes], place: Installation) -> bool:
    """Let something happen, and see whether the live view tells it."""
    append(place, *(stamped(8, text) for text in gets_through("198.51.100.200")))
    return bool(select.select([watch.stdout], [], [], 0.1)[0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@trial
def test_no_stranger_charges_another() -> None:
    with installed() as place:
        place.keeper()
        place.daemon()
        place.until(place.has_begun)
        for _ in range(3):
            append(place, *forged())
            append(place, *(stamped(5, text) for text in fails_with(BREAKER, BREAKS_ON_STARTTLS)))
        finished(place)
        place.until(lambda: BREAKER in (place.standing() or {}), "who did break three times is waived")
        assert (place.standing() or {}).keys() == {BREAKER}
        peers = place.peers()
        assert VICTIM not in peers
        assert peers.keys() == {STRANGER, BREAKER, LAST}
        assert peers[BREAKER].failures == 3
        assert peers[STRANGER].failures == 0


@trial
def test_no_escape_reaches_a_terminal() -> None:
    with installed() as place:
        place.keeper()
        place.daemon()
        place.until(place.has_begun)
        watch = subprocess.Popen(
            [PROGRAM, "watch"], env=environment(MAILTLS_CONFIG=str(place.config)), stdout=subprocess.PIPE
        )
        try:
            place.until(lambda: tells(watch, place), "the live view tells what happens")
            for number, escape in enumerate(ESCAPES):
                ip = f"198.51.100.{number + 1}"
                for texts in (
                    fails_with(ip, BREAKS_ON_STARTTLS, name=f"{escape}x"),
                    fails_with(ip, f"error:0A000102:SSL routines::{escape}version:x.c:1:", name="x"),
                    [line.replace(": -1", f": {escape}") for line in fails_with(ip, f"{escape}", name="x")],
                    [line.replace("TLSv1.3", f"TLS{escape}") for line in gets_through(ip)],
                    [line.replace("AES_256", escape) for line in gets_through(ip)],
                    [line.replace("ehlo=2", f"ehlo={escape}") for line in gets_through(ip, name=escape)],
                    [f"warning: cannot get RSA certificate from file {escape}: disabling TLS support"],
                ):
                    append(place, *(stamped(100 + number, text) for text in texts))
            finished(place)
        finally:
            watch.terminate()
            seen = watch.communicate()[0].decode("utf-8", "surrogateescape")
        assert len(seen.splitlines()) > 20, "the live view told it"
        shown = {"watch": seen}
        for words in (("peers",), ("history",), ("explain", "198.51.100.1"), ("status",), ("waivers",), ("peers", "--json"), ("history", "--json")):  # fmt: skip
            shown[" ".join(words)] = place.ctl(*words)
        for command, text in shown.items():
            assert not CONTROL.findall(text), f"{command}: {CONTROL.findall(text)}"
        assert "198.51.100.1" in shown["peers"]
        assert not CONTROL.findall(place.said.read_text("utf-8", "surrogateescape")), "nor into the journal"


@trial
def test_a_flood_of_addresses_and_of_bytes_fills_neither_memory_nor_metrics() -> None:
    port = free_port()
    with installed(metrics=f"127.0.0.1:{port}") as place:
        place.keeper()
        daemon = place.daemon()
        place.until(place.has_begun)

        def series() -> list[str]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
                text: str = page.read().decode()
            return sorted(line.partition(" ")[0] for line in text.splitlines() if not line.startswith("#"))

        append(place, *(stamped(9, text) for text in fails_with(STRANGER, BREAKS_ON_STARTTLS)))
        finished(place)
        before, memory = series(), daemon.resident_mb()
        with place.log.open("ab") as log:
            for start in range(0, 20_000, 500):
                lines = [
                    stamped(1000 + number % 50, text)
                    for number in range(start, start + 500)
                    for text in fails_with(
                        f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                        BREAKS_ON_STARTTLS,
                        name=f"n{number}.example",
                    )
                ]
                log.write("\n".join(lines).encode() + b"\n")
            for number in range(20):
                log.write(f"postfix/smtpd[{number}]: ".encode() + bytes(range(32, 127)) * 20_000 + b"\n")
                version = f"TLSv9.{number} with cipher C{number} (1/1 bits)"
                for text in gets_through("198.51.100.77"):
                    log.write(stamped(9, text.replace("TLSv1.3 with", version)).encode() + b"\n")
        finished(place, 2)
        assert place.standing() == {}, "each of them failed once"
        assert len(place.peers()) > 20_000
        assert not [each for each in series() if re.search(r"TLSv9|10\.0\.\d|example", each)]
        assert len(series()) < len(before) + 10
        assert daemon.resident_mb() < memory + 120
        assert place.places.database.stat().st_size < 40_000_000
        status = place.ask(AskStatus()).status
        assert status is not None
        assert status.remembers
