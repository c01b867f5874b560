"""mailtls-milter behind a real Postfix: it hears what the policy service hears, and mail does not depend on it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.edge.milterprocess import LIBRARY, MilterProcess

from mailtls.core.cause import Door
from mailtls.core.delegation import PolicyReader
from mailtls.core.factsparcel import FactsParcel
from mailtls.core.level import Level
from mailtls.core.milterdialogue import FIELDS
from mailtls.core.milterentry import ELEMENT, SOCKET
from mailtls.core.peermap import PeerMap
from mailtls.core.proxyheader import proxy_header
from mailtls.core.smtpfacts import SmtpFacts
from mailtls.core.verdict import (
    DUNNO,
    HEADER,
    Answer,
    Ground,
    Guard,
    Proof,
    Requirement,
    Snapshot,
    Terms,
    Verdict,
    WaiverLimits,
)
from mailtls.service.messagemetrics import MessageMetrics
from mailtls.service.policyd import PolicyService

from .certificates import KeyType, make_certificate
from .configuration import Settings
from .conversation import Conversation, Handshake, Server
from .handshakes import openssl
from .instance import PATIENCE_S, PrivatePostfix, wait_until

pytestmark = pytest.mark.skipif(not LIBRARY, reason="pymilter is not installed (Debian's python3-milter)")

SMTP_SOURCE = Path("/usr/sbin/smtp-source")
PEER = "127.0.0.9"
OTHERS = ("encryption_keysize", "helo_name", "sender", "size", "protocol_state")
SAME = tuple(name for name in (*FIELDS.values(), *OTHERS) if name != "policy_context")
"""What both interfaces tell; docs/decisions/0025 names the rest. The door is compared as such."""
DOORS = {"smtp": Door.STRICT, "legacy": Door.LEGACY, "submission": Door.SSLV3}
TLS10, TLS12, TLS13 = (
    openssl(version) for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
)


class Policyd:
    """mailtlsd's policy service in a thread of its own; `heard`: what it was asked, and answered."""

    def __init__(self, path: Path) -> None:
        self.snapshot = Snapshot()
        self.heard: deque[tuple[SmtpFacts, Verdict]] = deque()
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Policyd:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._path))
        os.chmod(self._path, 0o777)  # noqa: S103 - Postfix has a user of its own
        self._socket.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        async def serve() -> None:
            self._task = asyncio.current_task()
            service = PolicyService(
                lambda: self.snapshot, lambda *told: self.heard.append(told), self._read, MessageMetrics(),
                lambda: [self._socket], {},
            )  # fmt: skip
            await service.run()

        try:
            self._loop.run_until_complete(serve())
        except asyncio.CancelledError:
            self._loop.close()

    def _read(self, question: bytes) -> None:
        """Hear also what was answered at a glance."""
        for facts in PolicyReader().feed(question):
            assert isinstance(facts, SmtpFacts)
            self.heard.append((facts, DUNNO))

    _task: asyncio.Task[None] | None = None


@dataclass
class Site:
    """A Postfix that asks both, of messages at three doors."""

    postfix: PrivatePostfix
    milter: MilterProcess
    policyd: Policyd

    def know(self, snapshot: Snapshot) -> None:
        self.policyd.snapshot = snapshot
        self.milter.know(snapshot)
        threading.Event().wait(0.15)  # the milter looks ten times a second

    def deliver(
        self, handshake: Handshake | None = None, way: str = "smtp", words: str = "", sender: str = "a@peer.test"
    ) -> list[str]:
        """Send one mail; give the replies. Behind the gateway no TLS is spoken, and a PROXY header goes first."""
        with Conversation(PEER, Server(self.postfix.address, self.postfix.ports[way])) as client:
            if DOORS[way] is Door.SSLV3:
                client.send(proxy_header((PEER, 40_000), ("127.0.0.1", 25)))
            client.greet() if handshake is None else client.secure(handshake)
            replies = []
            for command in (f"MAIL FROM:<{sender}> SIZE=500", "RCPT TO:<b@example.test>", "DATA"):
                replies.append(client.say(command))
                if not replies[-1].startswith(("2", "3")):
                    return replies
            replies.append(client.say(f"{words}Subject: test\r\n\r\ntest\r\n."))
            client.quit()
            return replies

    def heard(self) -> tuple[FactsParcel, tuple[SmtpFacts, Verdict]]:
        """Give what both told of the same message."""
        parcel = self.milter.hear()
        assert isinstance(parcel, FactsParcel)
        assert wait_until(lambda: bool(self.policyd.heard))
        return parcel, self.policyd.heard.popleft()


def options(milter: Path, policy: Path, door: Door) -> tuple[str, ...]:
    """The options of an entry that asks both; the policy service first, and only to hear what it says."""
    element = ELEMENT.replace(f"unix:{SOCKET}", f"unix:{milter}")
    asks = f"check_policy_service {{ unix:{policy}, default_action=DUNNO, timeout=3s, policy_context=mailtls-{door} }}"
    own = (
        f"{{ smtpd_milters = {element} }}",
        f"{{ smtpd_data_restrictions = warn_if_reject {asks} }}",
        *((f"milter_macro_defaults=mailtls_door=mailtls-{door}",) if door is not Door.STRICT else ()),
    )
    return tuple(each.replace("{", "{{").replace("}", "}}") for each in own)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with MilterProcess(Snapshot()) as milter, Policyd(milter.root / "policy") as policyd:
        client = make_certificate(milter.root, KeyType.ECDSA)
        ways = {way: options(milter.socket, milter.root / "policy", door) for way, door in DOORS.items()}
        ways["submission"] += ("smtpd_upstream_proxy_protocol=haproxy", "smtpd_tls_security_level=none")
        settings = Settings(
            protocols=">=TLSv1",
            extra={"smtpd_tls_ask_ccert": "yes", "smtpd_tls_CAfile": str(client.certificate)},
            options=ways,
        )
        with PrivatePostfix(settings) as postfix:
            yield Site(postfix, milter, policyd)


def with_certificate(site: Site) -> Handshake:
    """TLS 1.3 with a client certificate that this Postfix trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(site.milter.root / "ecdsa.pem")
    return context.wrap_socket


# --- both interfaces ----------------------------------------------------------------------------------------------

SESSIONS: dict[str, tuple[Callable[[Site], Handshake | None], str]] = {
    "cleartext": (lambda _: None, "smtp"),
    "TLS 1.0": (lambda _: TLS10, "smtp"),
    "TLS 1.2": (lambda _: TLS12, "smtp"),
    "TLS 1.3": (lambda _: TLS13, "smtp"),
    "client certificate": (with_certificate, "smtp"),
    "door legacy": (lambda _: TLS10, "legacy"),
    "door legacy in cleartext": (lambda _: None, "legacy"),
    "door sslv3": (lambda _: None, "submission"),
}
PROVEN = {PEER: Proof(50)}
SNAPSHOTS = {
    "nothing": Snapshot(),
    "guard": Snapshot(guard=Guard(Answer.NOTE, 20), proven=PROVEN),
    "required": Snapshot(required_of_domains=PeerMap({"peer.test": Requirement()})),
    "refusing": Snapshot(guard=Guard(Answer.REJECT, 20), proven=PROVEN),
    "limited": Snapshot(waivers=PeerMap({PEER: Terms(Level.LEGACY, WaiverLimits(senders=("other.test",)))})),
}


@pytest.mark.parametrize("session", SESSIONS)
def test_both_interfaces_tell_the_same_facts_and_give_the_same_verdict(site: Site, session: str) -> None:
    handshake, way = SESSIONS[session]
    given = set()
    for name, snapshot in SNAPSHOTS.items():
        site.know(snapshot)
        replies = site.deliver(handshake(site), way)
        parcel, (facts, verdict) = site.heard()
        assert {each: getattr(parcel.facts, each) for each in SAME} == {each: getattr(facts, each) for each in SAME}
        assert parcel.facts.door(snapshot.ports) is facts.door(snapshot.ports) is DOORS[way]
        assert parcel.verdict == verdict, name
        expected = {Answer.DEFER: "450 4.7.1 ", Answer.REJECT: "554 5.7.1 "}.get(verdict.answer, "250 ")
        assert replies[-1].startswith(expected), (name, replies)
        given.add(verdict.answer)
    assert Answer.DUNNO in given
    assert (len(given) > 1) == (session not in ("TLS 1.2", "TLS 1.3", "client certificate"))


def test_what_is_told_is_what_was_negotiated(site: Site) -> None:
    site.know(Snapshot())
    told = {}
    for session in ("cleartext", "TLS 1.0", "TLS 1.3", "client certificate"):
        handshake, way = SESSIONS[session]
        site.deliver(handshake(site), way)
        facts = site.heard()[0].facts
        told[session] = (facts.encryption_protocol, facts.encryption_keysize, facts.ccert_subject)
        assert facts.queue_id and facts.client_address == PEER and facts.size == 500
    assert told == {
        "cleartext": ("", 0, ""),
        "TLS 1.0": ("TLSv1", 256, ""),
        "TLS 1.3": ("TLSv1.3", 256, ""),
        "client certificate": ("TLSv1.3", 256, "mx.example.test"),
    }


# --- the header ---------------------------------------------------------------------------------------------------


def written(site: Site, queue_id: str) -> str:
    """Give the content of a message that is held."""
    command = ("postcat", "-c", site.postfix.configuration, "-qh", queue_id)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout


def test_a_stamp_is_in_front_and_a_strangers_of_that_name_is_removed(site: Site) -> None:
    site.know(Snapshot(guard=Guard(Answer.STAMP, 20), proven=PROVEN))
    forged = f"{HEADER}: none at all\r\nX-Own: 1\r\n{HEADER.lower()}: and\r\n  folded\r\nX-HOLD: 1\r\n"
    for handshake, stamps in ((None, 1), (TLS13, 0)):
        queue_id = held(site, handshake, forged)
        headers = written(site, queue_id).splitlines()
        found = [line for line in headers if line.lower().startswith(HEADER.lower())]
        assert found == [f"{HEADER}: cleartext; expected TLSv1.2"] * stamps
        assert "X-Own: 1" in headers and "folded" not in " ".join(headers)
        assert not stamps or headers[0].startswith(HEADER)


def test_without_a_stamp_headers_of_that_name_are_nobodys_affair(site: Site) -> None:
    site.know(Snapshot())
    assert f"{HEADER}: of theirs" in written(site, held(site, None, f"{HEADER}: of theirs\r\nX-HOLD: 1\r\n"))


def held(site: Site, handshake: Handshake | None, words: str) -> str:
    """Deliver a message that header_checks hold in the queue."""
    subprocess.run(
        ("postconf", "-c", site.postfix.configuration, "-e", "header_checks = regexp:{{/^X-HOLD:/ HOLD}}"),
        check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    main = site.postfix.configuration / "main.cf"
    os.utime(main, (time.time() - 3, time.time() - 3))
    subprocess.run(("postfix", "-c", site.postfix.configuration, "reload"), capture_output=True, timeout=PATIENCE_S)
    replies = site.deliver(handshake, words=words)
    site.heard()
    return replies[-1].rpartition(" ")[2]


# --- hostile values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["\x1b[31mred\x07", "a" * 1_000_000, "%n%s{i}", "é\u202e"], ids=lambda value: repr(value[:6]))
def test_hostile_words_of_a_client_reach_neither_header_nor_log(site: Site, value: str) -> None:
    site.know(Snapshot(guard=Guard(Answer.STAMP, 1), proven=PROVEN))
    before = len(site.milter.words())
    with Conversation(PEER, Server(site.postfix.address, site.postfix.ports["smtp"])) as client:
        client.hear()
        for command in (f"EHLO {value}", f"MAIL FROM:<{value}@x.test> SIZE={value}", f"EHLO {value[:200]}.test"):
            client.send(f"{command}\r\n".encode())
            client.hear()
        replies = [client.say(c) for c in ("EHLO c.test", "MAIL FROM:<a@peer.test>", "RCPT TO:<b@example.test>", "DATA")]
        assert replies[-1].startswith("354"), replies
        client.send(f"Subject: {value}\r\n{HEADER}: {value}\r\n\r\n{value}\r\n.\r\n".encode())
        assert client.hear().startswith("250")
    parcel, _ = site.heard()
    assert parcel.verdict.ground is Ground.DOWNGRADE
    assert site.milter.words()[before:] == ""


# --- mail does not depend on it -----------------------------------------------------------------------------------

MESSAGES = 200


class Post:
    """smtp-source, which keeps its sessions, and gives up at the first reply that is not what it should be."""

    def __init__(self, site: Site, sessions: int = 4) -> None:
        self._site = site
        self._before = self.sent()
        target = f"{site.postfix.address}:{site.postfix.ports['smtp']}"
        self.process = subprocess.Popen(
            [SMTP_SOURCE, "-d", "-s", str(sessions), "-m", str(MESSAGES), "-f", "a@peer.test", "-t", "b@example.test", target],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._began = time.monotonic()

    def sent(self) -> int:
        return sum("status=sent" in line for line in self._site.postfix.lines())

    def wait_for(self, count: int) -> None:
        assert wait_until(lambda: self.sent() - self._before >= count), self._site.postfix.lines()[-5:]

    def end(self) -> float:
        """Wait until all are delivered; give the seconds."""
        _, words = self.process.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - self._began
        assert self.process.returncode == 0, words
        self.wait_for(MESSAGES)
        return took


@pytest.fixture
def listening(site: Site) -> Iterator[Site]:
    """The site, with a mailtlsd that takes what the milter tells."""
    site.know(Snapshot())
    taking = threading.Event()

    def take() -> None:
        while not taking.is_set():
            if not site.milter.is_silent():
                site.milter.hear()
            else:
                taking.wait(0.001)

    thread = threading.Thread(target=take)
    thread.start()
    yield site
    taking.set()
    thread.join()
    while not site.milter.is_silent():
        site.milter.hear()
    site.policyd.heard.clear()


def begun_anew(milter: MilterProcess) -> None:
    milter.kill()
    milter.start()


def killed(milter: MilterProcess) -> None:
    milter.kill()


def stopped(milter: MilterProcess) -> None:
    milter.process.send_signal(signal.SIGSTOP)


def slowed(milter: MilterProcess) -> None:
    """Let it run for a tenth of a second in half a second, for as long as the post takes."""
    for _ in range(8):
        milter.process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)  # what it is: a process that hardly runs
        milter.process.send_signal(signal.SIGCONT)
        time.sleep(0.1)


@pytest.mark.parametrize("harm", [None, killed, begun_anew, stopped, slowed], ids=lambda harm: getattr(harm, "__name__", "well"))
def test_every_mail_is_delivered_whatever_happens_to_the_milter(
    listening: Site, harm: Callable[[MilterProcess], None] | None
) -> None:
    milter = listening.milter
    refused = sum("reject" in line for line in listening.postfix.lines())
    post = Post(listening)
    try:
        post.wait_for(MESSAGES // 10)
        if harm is not None:
            harm(milter)
        took = post.end()
        replies = listening.deliver()
        assert replies[-1].startswith("250"), replies
    finally:
        milter.process.send_signal(signal.SIGCONT)
        if milter.process.poll() is not None:
            milter.start()
    print(f"\n{MESSAGES} deliveries, milter {getattr(harm, '__name__', 'well')}: {took:.1f} s")
    assert sum("reject" in line for line in listening.postfix.lines()) == refused
