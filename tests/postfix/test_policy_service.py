"""A real Postfix asks a real mailtlsd: what it tells, what it is answered, and that no mail is lost by asking."""

from __future__ import annotations

import signal
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mailtls.core.glance import Glance
from mailtls.core.smtpfacts import Stage
from mailtls.core.verdict import Snapshot
from mailtls.service.applyhooks import HookWishes
from mailtls.service.applysetup import plan_setup, setup, unsetup

from .applying import room_of
from .configuration import Settings
from .conversation import Conversation, Handshake, Server
from .handshakes import openssl
from .instance import PrivatePostfix, wait_until
from .policyworld import LISTED, SMTP_SOURCE, PolicyWorld, with_certificate

pytestmark = pytest.mark.slow

POLICY = """\
[downgrade]
sessions = 2
"""
SITE = Settings(
    loglevel=0,
    extra={
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_CAfile": "$queue_directory/../ecdsa.crt",
        "smtpd_data_restrictions": "reject_unauth_pipelining, permit",
        "smtpd_restriction_classes": "own_class",
        "own_class": "permit",
        "mynetworks": "127.7.0.0/24",
    },
)
TLS12, TLS13 = openssl(ssl.TLSVersion.TLSv1_2), openssl(ssl.TLSVersion.TLSv1_3)
TLS10 = openssl(ssl.TLSVersion.TLSv1)
MESSAGES = 1_000


@pytest.fixture(scope="module")
def shared() -> Iterator[PolicyWorld]:
    with PolicyWorld(SITE, POLICY) as world:
        yield world
        assert world.daemon.running


@pytest.fixture
def world(shared: PolicyWorld) -> Iterator[PolicyWorld]:
    """The shared world; pytest shows what mailtlsd said when a test fails."""
    yield shared
    shared.obey(POLICY)
    print(shared.words())


def arrival(world: PolicyWorld, peer: str, messages: int = 1) -> dict[str, object]:
    """Wait until a peer's last message is remembered, and give what it came with."""
    assert wait_until(lambda: counted(world, peer) >= messages), world.words()
    found: dict[str, object] = world.explained(peer)["arrival"]
    return found


def counted(world: PolicyWorld, peer: str) -> int:
    return sum(each["messages"] for each in world.explained(peer).get("messages", ()))


# --- what Postfix tells ----------------------------------------------------------------------------------------------

SESSIONS: dict[str, tuple[str, Callable[[Path], Handshake] | None, str, str | None, int, str]] = {
    "cleartext": ("strict", None, "127.9.1.1", None, 0, "none"),
    "TLS 1.2": ("strict", lambda _: TLS12, "127.9.1.2", "TLSv1.2", 256, "none"),
    "TLS 1.3": ("strict", lambda _: TLS13, "127.9.1.3", "TLSv1.3", 256, "none"),
    "a client certificate": ("strict", with_certificate, "127.9.1.4", "TLSv1.3", 256, "trusted"),
    "the legacy-rsa door": ("legacy-rsa", lambda _: TLS12, LISTED, "TLSv1.2", 256, "none"),
    "the legacy door": ("legacy", lambda _: TLS10, LISTED, "TLSv1", 256, "none"),
}


@pytest.mark.parametrize("session", SESSIONS)
def test_what_a_session_had_is_remembered_without_a_line_in_the_log(world: PolicyWorld, session: str) -> None:
    door, handshake, peer, version, keysize, certificate = SESSIONS[session]
    before = counted(world, peer)
    answer = world.delivers(peer, handshake(world.root) if handshake is not None else None, door)
    assert answer.startswith("250"), answer
    told = arrival(world, peer, before + 1)
    assert (told["door"], told["tls_version"], told["keysize"]) == (door, version, keysize)
    assert (told["helo"], told["sender_domain"], told["certificate"]) == ("client.test", "peer.test", certificate)
    assert (told["cipher"] is None) is (version is None)
    if certificate == "trusted":
        assert told["subject"] == "mx.example.test"
        assert told["fingerprint"]
    assert not any("TLS connection established" in line for line in world.postfix.lines())


def test_a_session_of_the_log_gets_its_version_and_is_counted_once(world: PolicyWorld) -> None:
    peer = "127.9.2.1"
    assert world.delivers(peer, TLS13).startswith("250")
    assert wait_until(lambda: bool(world.explained(peer).get("days")))
    (day,) = world.explained(peer)["days"]
    assert (day["sessions"], day["mails"], day["tls_version"], day["outcome"]) == (1, 1, "TLSv1.3", "tls_ok")
    assert counted(world, peer) == 1


def test_two_mails_of_one_session_are_two_messages_and_one_session(world: PolicyWorld) -> None:
    peer = "127.9.2.2"
    with world.conversation(peer) as conversation:
        conversation.secure(TLS12)
        conversation.deliver()
        conversation.deliver()
        conversation.quit()
    assert arrival(world, peer, 2)["good_sessions"] == 1
    assert wait_until(lambda: [day["sessions"] for day in world.explained(peer)["days"]] == [1])


# --- what it is answered ---------------------------------------------------------------------------------------------


def test_a_downgrade_is_noted_and_said_as_what_it_looks_like(world: PolicyWorld) -> None:
    peer = "127.9.3.1"
    for _ in range(2):
        assert world.delivers(peer, TLS13).startswith("250")
    arrival(world, peer, 2)
    assert wait_until(lambda: world.delivers(peer).startswith("250") and bool(world.explained(peer)["arrival"]["alarm"]))
    assert "exactly what an attacker on the path looks like" in world.words()
    assert f"mailtlsctl explain {peer}" in world.words()
    shown = world.ctl("explain", peer).stdout
    assert "exactly what an attacker on the path looks like" in " ".join(shown.split())
    assert world.metric('mailtls_verdicts_total{answer="note",ground="downgrade"}') >= 1


@pytest.mark.parametrize("action", ["defer", "reject", "stamp"])
def test_a_downgrade_is_deferred_refused_or_stamped_where_the_policy_says_so(world: PolicyWorld, action: str) -> None:
    peer = {"defer": "127.9.3.2", "reject": "127.9.3.3", "stamp": "127.9.3.4"}[action]
    for _ in range(2):
        assert world.delivers(peer, TLS13).startswith("250")
    arrival(world, peer, 2)
    world.obey(f'[downgrade]\nsessions = 2\naction = "{action}"')
    first = {"defer": "450 4.7.1", "reject": "554 5.7.1", "stamp": "250"}[action]
    assert wait_until(lambda: world.delivers(peer).startswith(first)), world.delivers(peer)
    if action == "stamp":
        assert world.delivers(peer, TLS13).startswith("250")
        return
    assert "Your earlier sessions were encrypted with TLSv1.3, this one is not" in world.delivers(peer)
    assert world.delivers(peer, TLS12).startswith("250"), "as good as ever"


def test_a_floor_is_required_of_a_senders_domain_with_the_operators_words(world: PolicyWorld) -> None:
    world.obey(
        '[require.domains]\n"bank.example" = { text = "Encrypted, please", url = "https://bank.example/tls" }\n'
        '"strong.example" = { floor = "TLSv1.3" }'
    )
    peer = "127.9.4.1"
    asked = "Encrypted, please https://bank.example/tls"
    assert wait_until(lambda: asked in world.delivers(peer, sender="a@bank.example"))
    assert world.delivers(peer, sender="a@bank.example").startswith("450")
    assert world.delivers(peer, TLS12, sender="a@bank.example").startswith("250")
    assert world.delivers(peer, TLS12, sender="a@strong.example").startswith("450")
    assert world.delivers(peer, TLS13, sender="a@strong.example").startswith("250")
    assert world.delivers(peer).startswith("250"), "nobody else is asked"
    assert world.delivers(peer, sender="").startswith("250"), "a bounce belongs to no domain"


def test_what_is_phased_out_is_deferred_and_later_refused(world: PolicyWorld) -> None:
    stage = '[[phase_out]]\nbelow = "TLSv1.3"\nstages = [{ on = 2020-01-01, percent = 100 }]\nrefuse = '
    peer = "127.9.4.2"
    world.obey(f"{stage}2099-01-01")
    assert wait_until(lambda: world.delivers(peer, TLS12).startswith("450"))
    assert "will refuse it from 2099-01-01 on; please update" in world.delivers(peer, TLS12)
    assert world.delivers(peer, TLS13).startswith("250")
    assert world.delivers(peer).startswith("250"), "those who do not encrypt are another matter"
    world.obey(f"{stage}2020-02-01")
    assert wait_until(lambda: world.delivers(peer, TLS12).startswith("554 5.7.1"))


def test_the_sites_own_networks_are_asked_for_nothing(world: PolicyWorld) -> None:
    """The question stands in front of permit_mynetworks."""
    stage = '[[phase_out]]\nbelow = "TLSv1.3"\ncleartext = true\nrefuse = 2020-01-01'
    world.obey(stage)
    assert wait_until(lambda: world.delivers("127.9.4.4").startswith("554 5.7.1")), "of strangers it is asked"
    assert world.delivers("127.0.0.1").startswith("250")
    assert world.delivers("127.7.0.1").startswith("250"), "in mynetworks"
    assert world.delivers("127.7.1.1").startswith("554 5.7.1"), "next to it"


def test_without_a_policy_nothing_is_refused_or_deferred(world: PolicyWorld) -> None:
    for handshake in (None, TLS12, TLS13):
        assert world.delivers("127.9.4.3", handshake, recipients=("a@example.test", "b@example.test")).startswith("250")


# --- what a waiver is good for ---------------------------------------------------------------------------------------


def test_a_waiver_is_good_for_what_a_person_said_and_for_nothing_else() -> None:
    peer, large = "127.9.7.1", "Subject: test\r\n\r\n" + "x" * 70 * 60 + "\r\n"
    with PolicyWorld(SITE, keeper=True) as world:
        limits = ("--only-from", ".ok.example", "--max-size", "4k")
        allowed = world.ctl("allow-legacy", peer, "--level", "cleartext", *limits)
        assert allowed.returncode == 0, allowed.stderr
        assert "It is good for only mail from .ok.example up to 4,096 bytes." in " ".join(allowed.stdout.split())
        assert "only mail from .ok.example" in " ".join(world.ctl("waivers").stdout.split())
        assert wait_until(lambda: world.delivers(peer, sender="a@other.example").startswith("450"))
        assert world.delivers(peer, sender="a@mx.ok.example").startswith("250")
        assert world.delivers(peer, sender="").startswith("250"), "a bounce belongs to no domain"
        answer = world.delivers(peer, sender="a@mx.ok.example", body=large)
        assert answer.startswith("450"), "seen when it has come, since no size was announced"
        assert world.delivers("127.9.7.2", body=large).startswith("250"), "nobody else is limited"
        refused = world.ctl("allow-legacy", peer, "--level", "cleartext", "--only-to", "b@example.test")
        assert (refused.returncode, "at a door only" in refused.stderr) == (4, True)
        assert world.ctl("revoke", peer).returncode == 0
        assert wait_until(lambda: world.delivers(peer, sender="a@other.example").startswith("250"))


# --- hostile values --------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[31m\u202e\x07"


def test_what_strangers_write_reaches_neither_screen_nor_log_raw(world: PolicyWorld) -> None:
    peer = "127.9.5.1"
    world.obey('[require.domains]\n".evil.example" = {}')
    with world.conversation(peer) as conversation:
        conversation.hear()
        conversation.send(f"EHLO {HOSTILE}x\r\n".encode())
        conversation.hear()
        conversation.send(f'MAIL FROM:<"{HOSTILE}"@x{HOSTILE}.evil.example>\r\n'.encode())
        conversation.hear()
        conversation.say("RCPT TO:<b@example.test>")
        conversation.say("DATA")
        conversation.say("RSET")
        conversation.say("MAIL FROM:<a@" + "x" * 200 + ".evil.example>")
        conversation.say("RCPT TO:<b@example.test>")
        conversation.say("DATA")
    shown = world.ctl("explain", peer).stdout + world.words() + world.ctl("history").stdout
    assert not set(shown) & set("\x1b\u202e\x07")
    assert world.delivers(peer).startswith("250")


# --- nobody loses mail by it -----------------------------------------------------------------------------------------


@contextmanager
def killed(world: PolicyWorld) -> Iterator[None]:
    world.daemon.kill()
    yield
    world.start()


@contextmanager
def stopped(world: PolicyWorld) -> Iterator[None]:
    world.daemon.signal(signal.SIGSTOP)
    yield
    world.daemon.signal(signal.SIGCONT)


@contextmanager
def as_usual(_: PolicyWorld) -> Iterator[None]:
    yield


TROUBLES: dict[str, Callable[[PolicyWorld], AbstractContextManager[None]]] = {
    "nothing": as_usual,
    "mailtlsd killed": killed,
    "mailtlsd stopped": stopped,
    "the database slowed": PolicyWorld.locked_database,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_mail_is_delivered_whatever_becomes_of_mailtlsd(world: PolicyWorld, trouble: str) -> None:
    before, began = world.taken(), time.monotonic()
    with TROUBLES[trouble](world):
        ran = world.flood(MESSAGES)
        taken = time.monotonic() - began
    assert (ran.returncode, ran.stderr) == (0, ""), f"{SMTP_SOURCE}: {ran.stderr}"
    assert wait_until(lambda: world.taken() - before == MESSAGES), world.taken() - before
    print(f"{trouble}: {MESSAGES} mails, 20 at a time, took {taken:.1f} s")
    assert not [line for line in world.postfix.lines() if "reject" in line and "127.0.0.1" in line]


def test_killed_in_the_middle_of_it_all_are_delivered(world: PolicyWorld) -> None:
    before = world.taken()
    command = [SMTP_SOURCE, "-m", "300", "-s", "10", "-f", "a@peer.test", "-t", "b@example.test"]
    with subprocess.Popen([*command, f"127.0.0.1:{world.port('strict')}"], stderr=subprocess.PIPE, text=True) as source:
        assert wait_until(lambda: world.taken() - before > 30)
        world.daemon.kill()
        assert wait_until(lambda: world.taken() - before > 150)
        world.start()
        _, said = source.communicate(timeout=120)
    assert (source.returncode, said) == (0, "")
    assert wait_until(lambda: world.taken() - before == 300)


@contextmanager
def recorded(path: Path) -> Iterator[list[bytes]]:
    """Answer DUNNO in mailtlsd's stead, and keep what Postfix asked."""
    asked: list[bytes] = []

    class Recorder(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            question = b""
            for line in self.rfile:
                question += line
                if line == b"\n":
                    asked.append(question)
                    self.wfile.write(b"action=DUNNO\n\n")
                    question = b""

    path.unlink(missing_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(path), Recorder) as server:
        server.daemon_threads = True
        path.chmod(0o666)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
            path.unlink()


def test_what_this_postfix_asks_most_passes_at_a_glance(world: PolicyWorld) -> None:
    def is_asked(asked: list[bytes], handshake: Handshake | None) -> bool:
        """Deliver, and tell whether Postfix asked: not where it just lost its connection to mailtlsd."""
        before = len(asked)
        assert world.delivers("127.9.1.3", handshake).startswith("250")
        return len(asked) > before

    world.daemon.stop()
    try:
        with recorded(world.socket) as asked:
            assert wait_until(lambda: is_asked(asked, TLS13))
            assert wait_until(lambda: is_asked(asked, TLS12))
            assert wait_until(lambda: is_asked(asked, None))
    finally:
        world.start()
    for question in asked:
        stage = Stage.DATA if b"\nprotocol_state=DATA\n" in question else Stage.END_OF_MESSAGE
        encrypted = b"\nencryption_protocol=TLSv1." in question
        assert Glance(Snapshot()).passes(question) is (stage if encrypted else None), question


# --- setup -----------------------------------------------------------------------------------------------------------


def options(world: PolicyWorld) -> dict[str, str]:
    command = ["postconf", "-c", world.postfix.configuration, "-P"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: value for name, _, value in (line.partition(" = ") for line in lines)}


def test_setup_asks_where_it_must_and_keeps_what_the_site_asks(world: PolicyWorld) -> None:
    found = options(world)
    strict, legacy = f"127.0.0.1:{world.port('strict')}/inet", f"127.0.0.1:{world.port('legacy')}/inet"
    assert found[f"{strict}/smtpd_data_restrictions"] == "mailtls_policy,reject_unauth_pipelining, permit"
    assert found[f"{strict}/smtpd_end_of_data_restrictions"] == "mailtls_policy"
    assert found[f"{strict}/smtpd_restriction_classes"] == "mailtls_policy,own_class"
    assert f"{strict}/smtpd_recipient_restrictions" not in found
    ask = "{ unix:mailtls/policy, default_action=DUNNO, timeout=3s, try_limit=1, policy_context=mailtls-%s }"
    assert found[f"{strict}/mailtls_policy"].replace(",{", " {") == f"check_policy_service {ask % 'strict'}"
    assert found[f"{legacy}/mailtls_policy"] == f"check_policy_service {ask % 'legacy'}"
    assert found[f"{legacy}/smtpd_recipient_restrictions"] == "mailtls_policy"
    assert found[f"{legacy}/smtpd_restriction_classes"] == "own_class,mailtls_waived,mailtls_policy"
    assert world.view.policy_service
    command = ["postconf", "-c", world.postfix.configuration, "-n"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "mailtls" not in said, "Postfix knows every parameter of ours"


def test_it_is_taken_out_byte_for_byte_and_found_where_nothing_is_remembered() -> None:
    with PrivatePostfix(SITE) as postfix:
        (postfix.directory / "queue/mailtls").mkdir()
        room = room_of(postfix)
        asking = replace(room, hooks=HookWishes(policy=True, socket=postfix.directory / "queue/mailtls/policy"))
        master = postfix.configuration / "master.cf"
        before = master.read_bytes()
        setup(asking)
        assert b"mailtls_policy" in master.read_bytes()
        assert plan_setup(asking).is_nothing, "done twice it changes nothing"
        silent = replace(asking, hooks=replace(asking.hooks, policy=None))
        assert plan_setup(silent).is_nothing, "who says nothing of it wants it as it is"
        unsetup(room)
        assert master.read_bytes() == before
        setup(asking)
        setup(replace(asking, hooks=replace(asking.hooks, policy=False)))
        assert b"mailtls_policy" not in master.read_bytes()
        setup(asking)
        room.record.unlink()
        unsetup(room)
        assert b"mailtls_policy" not in master.read_bytes()
        with Conversation("127.9.6.1", Server(postfix.address, postfix.ports["smtp"])) as conversation:
            conversation.greet()
            conversation.deliver()
