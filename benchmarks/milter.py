#!/usr/bin/env python3
"""What mailtls-milter costs: messages per second beside pymilters that do nothing, and what Postfix keeps of its rate.

    python benchmarks/milter.py [--messages 4000] [--deliveries 1000] [--rounds 5]

First the milters alone: callers that speak the Milter protocol as Postfix does send each of them the events and macros
that it asked for, over connections that are kept and over a new one for each message. `nothing` is a pymilter that
leaves out every event; `the same` hears the events that mailtls-milter hears, and returns at once. Then a real Postfix
takes mail from smtp-source without a milter, with each of these, and with mailtls-milter killed, stopped and slowed
meanwhile: all of it has to be delivered. Rounds alternate; medians are printed, and ratios of one run.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.edge.milterprocess import MilterProcess
from tests.edge.mta import Mta
from tests.postfix.configuration import Settings
from tests.postfix.instance import PrivatePostfix, wait_until

from mailtls.core.milterentry import ELEMENT, SOCKET
from mailtls.core.peermap import PeerMap
from mailtls.core.verdict import Proof, Requirement, Snapshot

CALLERS = 8
TICKS = os.sysconf("SC_CLK_TCK")
VALUES = {
    "{client_addr}": b"192.0.2.1", "{client_name}": b"mx.peer.example", "{client_port}": b"40000",
    "{client_ptr}": b"mx.peer.example", "{daemon_addr}": b"198.51.100.1", "{daemon_port}": b"25",
    "{tls_version}": b"TLSv1.3", "{cipher}": b"TLS_AES_256_GCM_SHA384", "{cipher_bits}": b"256", "i": b"4bQk2f1Xyzz2",
    "j": b"mx.example.net", "{mail_addr}": b"a@peer.example", "{mail_host}": b"peer.example", "{mail_mailer}": b"smtp",
}  # fmt: skip
DEFAULTS = {  # milter_helo_macros and so on, of who asks for no others
    "helo": ("{tls_version}", "{cipher}", "{cipher_bits}"),
    "mail": ("i", "{mail_addr}", "{mail_host}", "{mail_mailer}"),
    "data": ("i",),
}
KNOWN = Snapshot(
    proven={f"198.51.{n // 256}.{n % 256}": Proof(50) for n in range(50_000)},
    required_of_domains=PeerMap({".bank.example": Requirement(), ".law.example": Requirement()}),
)
"""Of a site with some history: 50,000 addresses that have proven TLS 1.2."""

NOTHING = """
import sys, Milter
class Idle(Milter.Base):
{body}
Milter.factory = Idle
Milter.set_flags(0)
Milter.runmilter("idle", "unix:" + sys.argv[1], timeout=600)
"""
THE_SAME = """
    @Milter.noreply
    def hello(self, name): return Milter.CONTINUE
    @Milter.noreply
    def envfrom(self, sender, *words): return Milter.CONTINUE
    def data(self): return Milter.CONTINUE
"""


class Idle:
    """A pymilter that does nothing."""

    def __init__(self, body: str) -> None:
        self._program = NOTHING.format(body=body or "    pass")

    def __enter__(self) -> Idle:
        self._room = tempfile.TemporaryDirectory(prefix="mailtls-idle-")
        Path(self._room.name).chmod(0o755)
        self.socket = Path(self._room.name) / "milter"
        self.process = subprocess.Popen([sys.executable, "-c", self._program, self.socket], umask=0)
        assert wait_until(self.socket.exists)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self._room.cleanup()


class Ours(MilterProcess):
    """mailtls-milter, and a mailtlsd that takes its facts."""

    def __enter__(self) -> Ours:
        super().__enter__()
        self.taken = 0
        self._done = threading.Event()
        self._taker = threading.Thread(target=self._take)
        self._taker.start()
        return self

    def _take(self) -> None:
        self._facts.settimeout(0.2)
        while not self._done.is_set():
            try:
                self._facts.recv(65536)
                self.taken += 1
            except TimeoutError:
                pass

    def __exit__(self, *arguments: Any) -> None:
        self._done.set()
        self._taker.join()
        super().__exit__(*arguments)


# --- the milters alone --------------------------------------------------------------------------------------------


def call(path: Path, messages: int, *, kept: bool, go: Any) -> None:
    go.wait()
    caller = None
    for _ in range(messages):
        if caller is None or not kept:
            caller = Mta(path)
            at_helo, at_mail, at_data = (
                {name: VALUES[name] for name in caller.terms.macros.get(stage, names) if name in VALUES}
                for stage, names in DEFAULTS.items()
            )
        caller.helo(b"mx.peer.example", at_helo)
        caller.mail(b"<a@peer.example>", b"SIZE=3000", macros=at_mail)
        caller.data(at_data)
        caller.end()
        if not kept:
            caller.quit()


def rate(milter: Any, messages: int, *, kept: bool) -> tuple[float, float]:
    """Give messages per second, and microseconds of the milter's processor time for one."""
    context = get_context("fork")
    go = context.Event()
    callers = [
        context.Process(target=call, args=(milter.socket, messages // CALLERS), kwargs={"kept": kept, "go": go})
        for _ in range(CALLERS)
    ]
    for each in callers:
        each.start()
    before, began = processor(milter.process.pid), time.perf_counter()
    go.set()
    for each in callers:
        each.join()
    took = time.perf_counter() - began
    assert not any(each.exitcode for each in callers)
    return messages / took, (processor(milter.process.pid) - before) / messages * 1e6


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def alone(messages: int, rounds: int) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "nothing": lambda: Idle(""), "the same": lambda: Idle(THE_SAME), "mailtls-milter": lambda: Ours(KNOWN),
    }  # fmt: skip
    for kept in (True, False):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
        with ExitStack() as stack:
            running = {name: stack.enter_context(make()) for name, make in makers.items()}
            for _ in range(rounds):
                for name, milter in running.items():
                    found[name].append(rate(milter, messages, kept=kept))
            lost = messages * rounds - running["mailtls-milter"].taken
        print(f"\n{CALLERS} callers, {'connections kept' if kept else 'a connection for each message'}")
        print(f"{'':16}{'messages/s':>12}{'us of processor':>18}{'rate of `the same`':>20}")
        same = statistics.median(each for each, _ in found["the same"])
        for name, values in found.items():
            speed, cost = (statistics.median(column) for column in zip(*values, strict=True))
            print(f"{name:16}{speed:12.0f}{cost:18.0f}{speed / same:20.2f}")
        print(f"facts that mailtlsd did not get: {lost} of {messages * rounds}")


# --- Postfix ------------------------------------------------------------------------------------------------------


def post(postfix: PrivatePostfix, way: str, messages: int, *, kept: bool) -> float:
    """Let smtp-source deliver; give the seconds. It ends with an error at the first reply that is no success."""
    target = f"{postfix.address}:{postfix.ports[way]}"
    command = ["/usr/sbin/smtp-source", *(["-d"] if kept else []), "-s", "10", "-m", str(messages)]
    began = time.perf_counter()
    subprocess.run([*command, "-f", "a@peer.example", "-t", "b@example.test", target], check=True)
    return time.perf_counter() - began


def entry(path: Path) -> tuple[str, ...]:
    element = ELEMENT.replace(f"unix:{SOCKET}", f"unix:{path}")
    return (f"{{{{ smtpd_milters = {{{element}}} }}}}",)


def behind_postfix(messages: int, rounds: int) -> None:
    with Idle(THE_SAME) as idle, Ours(KNOWN) as ours:
        ways = {"submission": entry(idle.socket), "legacy": entry(ours.socket)}
        extra = {"smtpd_client_connection_rate_limit": "0", "smtpd_client_connection_count_limit": "0"}
        with PrivatePostfix(Settings(options=ways, extra=extra)) as postfix:
            names = {"smtp": "no milter", "submission": "the same", "legacy": "mailtls-milter"}
            for kept in (True, False):
                found: dict[str, list[float]] = {way: [] for way in names}
                for _ in range(rounds):
                    for way in names:
                        found[way].append(messages / post(postfix, way, messages, kept=kept))
                print(f"\nPostfix, 10 sessions at once, {'kept' if kept else 'one for each message'}")
                print(f"{'':16}{'deliveries/s':>14}{'of no milter':>14}")
                plain = statistics.median(found["smtp"])
                for way, name in names.items():
                    speed = statistics.median(found[way])
                    print(f"{name:16}{speed:14.0f}{speed / plain:14.2f}")
            harmed(postfix, ours, messages)


def harmed(postfix: PrivatePostfix, ours: Ours, messages: int) -> None:
    print(f"\n{messages} deliveries, 10 sessions that are kept, and what happens to mailtls-milter meanwhile")
    print(f"{'':24}{'seconds':>10}{'delivered':>12}{'refused':>10}")
    for name, harm in HARMS.items():
        wait_until(lambda: not queued(postfix))
        sent, refused = count(postfix, "status=sent"), count(postfix, "reject")
        timer = threading.Timer(0.3, harm or (lambda _: None), [ours])
        timer.start()
        took = post(postfix, "legacy", messages, kept=True)
        timer.join()
        ours.process.send_signal(signal.SIGCONT)
        if ours.process.poll() is not None:
            ours.start()
        goal = sent + messages
        wait_until(lambda goal=goal: count(postfix, "status=sent") >= goal)
        delivered, denied = count(postfix, "status=sent") - sent, count(postfix, "reject") - refused
        print(f"{name:24}{took:10.1f}{delivered:12}{denied:10}")
        assert (delivered, denied) == (messages, 0)


def kill(ours: Ours) -> None:
    ours.kill()


def begin_anew(ours: Ours) -> None:
    ours.kill()
    ours.start()


def stop(ours: Ours) -> None:
    ours.process.send_signal(signal.SIGSTOP)


def slow(ours: Ours) -> None:
    for _ in range(10):
        ours.process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        ours.process.send_signal(signal.SIGCONT)
        time.sleep(0.1)


HARMS: dict[str, Callable[[Ours], None] | None] = {
    "nothing": None, "killed": kill, "killed, begun anew": begin_anew, "stopped": stop, "slowed": slow,
}  # fmt: skip


def count(postfix: PrivatePostfix, word: str) -> int:
    return sum(word in line for line in postfix.lines())


def queued(postfix: PrivatePostfix) -> bool:
    return any(any((postfix.directory / "queue" / name).iterdir()) for name in ("incoming", "active"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=4000, metavar="N")
    parser.add_argument("--deliveries", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    asked = parser.parse_args()
    alone(asked.messages, asked.rounds)
    behind_postfix(asked.deliveries, asked.rounds)


if __name__ == "__main__":
    main()
