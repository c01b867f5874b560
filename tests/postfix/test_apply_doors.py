"""The doors that `setup` makes on a real Postfix: what they take, whom they let in, and how they go again."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mailtls.config import read_config
from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway, PostfixSettings
from mailtls.core.tablepair import TablePair
from mailtls.errors import RefusedError
from mailtls.service.applyderive import drift
from mailtls.service.applydoors import DoorWishes
from mailtls.service.applysetup import SetupRoom, plan_setup, setup, unsetup

from .applying import age, assert_that_killed_setup_leaves_nothing, room_of
from .authserver import AuthServer
from .certificates import KeyType
from .configuration import ADDRESS, Settings
from .conversation import Conversation, HandshakeFailed, Server
from .doors import suites
from .handshakes import openssl
from .instance import PrivatePostfix, reserved_ports, wait_until
from .milterserver import REFUSED, MilterServer

pytestmark = pytest.mark.slow

LISTED, OTHER = "127.8.0.1", "127.8.0.2"
FILTERED = "seen-by-the-filter"


def room_with_doors(postfix: PrivatePostfix, *ways_in: str, **wishes: object) -> SetupRoom:
    """Say what setup needs to know, with free ports for the doors and a self-signed certificate."""
    with ExitStack() as reservation:
        rsa, legacy = reserved_ports(2, reservation)
    wanted = DoorWishes(
        None, {Level.LEGACY_RSA: rsa, Level.LEGACY: legacy}, postfix.directory / "etc/mailtls/doors", postfix.directory,
        self_signed=True,
    )  # fmt: skip
    return replace(room_of(postfix, *ways_in), doors=replace(wanted, **wishes), patience_s=20.0)  # type: ignore[arg-type]


def view_of(postfix: PrivatePostfix) -> PostfixSettings:
    config = postfix.directory / "mailtls.toml"
    config.write_text(f'root = "{postfix.directory}"\n')
    return read_config(str(config)).postfix


def door_of(postfix: PrivatePostfix, level: Level) -> Doorway:
    door = view_of(postfix).door(level)
    assert door is not None
    return door


@contextmanager
def set_up(settings: Settings, *ways_in: str, **wishes: object) -> Iterator[tuple[PrivatePostfix, SetupRoom]]:
    with PrivatePostfix(settings) as postfix, AuthServer(postfix.directory / "queue/auth.sock"):
        room = room_with_doors(postfix, *ways_in, **wishes)
        setup(room)
        for level in (Level.LEGACY_RSA, Level.LEGACY):
            if view_of(postfix).door(level):
                room.tables.beside(level.value).put(TablePair({LISTED: "mailtls_waived"}))
        yield postfix, room


def talk(source: str, port: int) -> Conversation:
    return Conversation(source, Server(ADDRESS, port))


def asked(source: str, port: int, recipient: str = "b@example.test", sender: str = "a@peer.test") -> str:
    """Ask for a recipient; give the answer."""
    with talk(source, port) as conversation:
        conversation.greet()
        conversation.say(f"MAIL FROM:<{sender}>")
        return conversation.say(f"RCPT TO:<{recipient}>")


# --- what is offered is what is taken ----------------------------------------------------------------------------


def taken(port: int) -> set[tuple[str, str]]:
    """Try every version with every suite of this OpenSSL."""
    found = set()
    for version, names in suites().items():
        for name in names:
            with talk(LISTED, port) as conversation:
                try:
                    conversation.secure(openssl(getattr(ssl.TLSVersion, version), name))
                except HandshakeFailed:
                    continue
            found.add((version.replace("_", "."), name))
    return found


STRICT = [
    pytest.param(Settings(), id="ECDSA, TLS 1.2"),
    pytest.param(
        Settings(key_types=(KeyType.RSA,), protocols="!SSLv3, !TLSv1", extra={"smtpd_tls_exclude_ciphers": "aNULL, AES128"}),
        id="RSA, without TLS 1.0 and AES128",
    ),
    pytest.param(
        Settings(extra={"smtpd_tls_security_level": "encrypt", "smtpd_tls_mandatory_ciphers": "high",
                        "smtpd_tls_mandatory_exclude_ciphers": "SHA1"}),
        id="encrypt, with its own list",
    ),
    pytest.param(
        Settings(extra={"smtpd_tls_chain_files": "", "smtpd_tls_cert_file": "{directory}/ecdsa.pem"}),
        id="ECDSA in smtpd_tls_cert_file",
    ),
]  # fmt: skip


@pytest.mark.parametrize("settings", STRICT)
def test_an_offering_is_what_the_service_takes_in_real_handshakes(settings: Settings) -> None:
    with PrivatePostfix(replace(settings, extra={})) as postfix:
        main = postfix.configuration / "main.cf"
        extra = "".join(f"{k} = {v.format(directory=postfix.directory)}\n" for k, v in settings.extra.items())
        kept = (line for line in main.read_text().splitlines(True) if line.split(" ")[0] not in settings.extra)
        main.write_text("".join(kept) + extra)
        age(main)
        postfix_reload(postfix)
        setup(room_with_doors(postfix))
        view = view_of(postfix)
        assert view.strict is not None
        assert view.doors
        offers = {postfix.ports["smtp"]: view.strict, **{door.port: door.offers for door in view.doors}}
        for port, offering in offers.items():
            possible = {(v.replace("_", "."), name) for v, names in suites().items() for name in names}
            wanted = {(v, name) for v, name in possible if v in offering.versions and name in offering.ciphers}
            assert taken(port) == wanted, port


def postfix_reload(postfix: PrivatePostfix) -> None:
    subprocess.run(["/usr/sbin/postfix", "-c", postfix.configuration, "reload"], check=True, capture_output=True)


def test_who_can_use_the_strict_certificate_goes_on_being_shown_it_at_the_legacy_rsa_door() -> None:
    with set_up(Settings()) as (postfix, _):
        ports = (postfix.ports["smtp"], door_of(postfix, Level.LEGACY_RSA).port)
        for ciphers in ("ALL", "ECDHE-ECDSA-AES128-GCM-SHA256"):
            shown = []
            for port in ports:
                with talk(LISTED, port) as conversation:
                    conversation.secure(openssl(ssl.TLSVersion.TLSv1_2, ciphers))
                    shown.append(conversation._socket.getpeercert(binary_form=True))
            assert shown[0] == shown[1], ciphers


# --- whom a door lets in -----------------------------------------------------------------------------------------

RESTRICTED = Settings(
    extra={
        "mynetworks": "127.0.0.0/8",
        "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, permit_tls_clientcerts, "
        "reject_unauth_destination",
        "relay_clientcerts": "static:ok",
        "smtpd_tls_ask_ccert": "yes",
        "own_list": "check_client_access inline:{{127.8.0.3=REJECT}}",
        "smtpd_client_restrictions": "$own_list",
        "smtpd_sender_restrictions": "check_sender_access inline:{{bad@peer.test=REJECT}}",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": "auth.sock",
    },
    options={"smtp": (f"content_filter=discard:{FILTERED}",)},
)


@pytest.fixture(scope="module")
def restricted() -> Iterator[tuple[PrivatePostfix, int]]:
    settings = replace(RESTRICTED, extra={k: v.replace("{{", "{").replace("}}", "}") for k, v in RESTRICTED.extra.items()})
    with set_up(settings) as (postfix, room):
        listed = {LISTED: "mailtls_waived", "127.8.0.3": "mailtls_waived"}
        room.tables.beside("legacy").put(TablePair(listed, (("127.9.0.0/16", "mailtls_waived"),)))
        yield postfix, door_of(postfix, Level.LEGACY).port


def test_only_who_is_in_the_tables_is_let_in_and_everybody_else_is_put_off(restricted: tuple[PrivatePostfix, int]) -> None:
    _, port = restricted
    assert asked(LISTED, port).startswith("250")
    assert asked("127.9.1.1", port).startswith("250"), "a network of the cidr table"
    assert asked(OTHER, port).startswith("450 4.7.1"), "although it is in mynetworks"


def test_the_sites_own_restrictions_count_at_the_door_as_well(restricted: tuple[PrivatePostfix, int]) -> None:
    _, port = restricted
    assert asked("127.8.0.3", port).startswith("554"), "what smtpd_client_restrictions said, through $own_list"
    assert asked(LISTED, port, sender="bad@peer.test").startswith("554")


def test_nobody_relays_through_a_door(restricted: tuple[PrivatePostfix, int]) -> None:
    postfix, port = restricted
    assert asked(LISTED, postfix.ports["smtp"], "x@elsewhere.test").startswith("250"), "by mynetworks, at port 25"
    assert asked(LISTED, port, "x@elsewhere.test").startswith("554")
    with talk(LISTED, postfix.ports["smtp"]) as conversation:
        conversation.greet()
        assert "AUTH" in conversation.keywords
    with talk(LISTED, port) as conversation:
        conversation.greet()
        assert "AUTH" not in conversation.keywords
        assert conversation.say("AUTH PLAIN AGEAYg==").startswith("503")
        assert "XCLIENT" not in conversation.keywords
        assert "XFORWARD" not in conversation.keywords


def test_a_client_certificate_opens_nothing_at_a_door(restricted: tuple[PrivatePostfix, int]) -> None:
    postfix, port = restricted
    main = postfix.configuration / "main.cf"
    before = main.read_text()
    main.write_text(before.replace("mynetworks = 127.0.0.0/8", "mynetworks = "))
    age(main)
    postfix_reload(postfix)
    try:
        said = {way: _asked_with_certificate(postfix, way) for way in (postfix.ports["smtp"], port)}
    finally:
        main.write_text(before)
        age(main)
        postfix_reload(postfix)
    assert said[postfix.ports["smtp"]].startswith("250"), "a certificate relays at port 25"
    assert said[port].startswith("554")


def _asked_with_certificate(postfix: PrivatePostfix, port: int) -> str:
    own = postfix.certificates[KeyType.RSA]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(own.certificate, own.key)
    with talk(LISTED, port) as conversation:
        conversation.secure(context.wrap_socket)
        conversation.say("MAIL FROM:<a@peer.test>")
        return conversation.say("RCPT TO:<x@elsewhere.test>")


def test_mail_of_the_door_goes_through_the_content_filter_of_port_25(restricted: tuple[PrivatePostfix, int]) -> None:
    postfix, port = restricted
    with talk(LISTED, port) as conversation:
        conversation.greet()
        conversation.deliver()
    postfix.wait_for(rf"mailtls-legacy/smtpd.*client=unknown\[{LISTED}\]")
    postfix.wait_for(FILTERED)


@pytest.mark.parametrize("place", ["master.cf", "main.cf"])
def test_mail_of_the_door_goes_through_the_milters_of_port_25(place: str) -> None:
    with MilterServer() as milter:
        known = f"smtpd_milters=inet:127.0.0.1:{milter.port}"
        settings = (
            Settings(options={"smtp": (known,)}) if place == "master.cf"
            else Settings(extra={"smtpd_milters": known.partition("=")[2]})
        )  # fmt: skip
        with set_up(settings) as (postfix, _):
            ways = [postfix.ports["smtp"], *(door_of(postfix, level).port for level in (Level.LEGACY_RSA, Level.LEGACY))]
            milter.messages.clear()  # what the trials of setup did
            for way in ways:
                assert "the filter does not like you" in said_to(LISTED, way, f"MAIL FROM:<{REFUSED}>"), way
                with talk(LISTED, way) as conversation:
                    conversation.secure(openssl(ssl.TLSVersion.TLSv1_2))
                    conversation.deliver()
                    conversation.quit()
    assert [(each.client, each.tls_version) for each in milter.messages] == [(LISTED, "TLSv1.2")] * len(ways)
    assert all(each.body for each in milter.messages)


def said_to(source: str, port: int, command: str) -> str:
    with talk(source, port) as conversation:
        conversation.greet()
        return conversation.say(command)


def test_senders_are_checked_against_logins_although_nobody_logs_in() -> None:
    extra = {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "auth.sock",
        "smtpd_sender_login_maps": "inline:{user@example.test=user}",
        "smtpd_sender_restrictions": "reject_sender_login_mismatch",
    }  # fmt: skip
    with set_up(Settings(extra=extra)) as (postfix, _):
        port = door_of(postfix, Level.LEGACY).port
        for way in (postfix.ports["smtp"], port):
            assert asked(LISTED, way, sender="user@example.test").startswith("553"), way
        with talk(LISTED, port) as conversation:
            conversation.greet()
            assert "AUTH" not in conversation.keywords
            assert conversation.say("AUTH PLAIN AGEAYg==").startswith("503")


# --- when there are none -----------------------------------------------------------------------------------------

NONE = [
    (Settings(key_types=(KeyType.RSA,), protocols=">=TLSv1"), {}, "whatever it would take"),
    (Settings(extra={"smtpd_tls_security_level": "none"}), {}, "speaks no TLS at all"),
    (Settings(), {"levels": ()}, None),
    (Settings(key_types=(KeyType.RSA,)), {"levels": (Level.LEGACY_RSA,)}, "shows an RSA certificate itself"),
    (Settings(), {"levels": (Level.LEGACY_RSA,), "self_signed": False}, "certbot certonly --standalone --key-type rsa"),
    (Settings(options={"smtp": ("smtpd_upstream_proxy_protocol=haproxy",)}), {}, "stands behind a proxy"),
]


@pytest.mark.parametrize(("settings", "wishes", "words"), NONE)
def test_a_door_that_adds_nothing_is_not_made_and_a_sentence_says_why(
    settings: Settings, wishes: dict[str, object], words: str | None
) -> None:
    with PrivatePostfix(settings) as postfix:
        change = plan_setup(room_with_doors(postfix, **wishes))
        assert change.entries == frozenset()
        said = " ".join(change.notes)
        assert (words in said) if words is not None else not said
        assert "mailtls_waived" not in change.diff()


def test_a_service_that_insists_on_tls_gets_doors_only() -> None:
    with set_up(Settings(extra={"smtpd_tls_security_level": "encrypt"})) as (postfix, room):
        port = door_of(postfix, Level.LEGACY).port
        assert "smtpd_discard_ehlo_keyword_address_maps=lmdb" not in (postfix.configuration / "master.cf").read_text()
        with talk(LISTED, port) as conversation:
            conversation.secure(openssl(ssl.TLSVersion.TLSv1))
            conversation.deliver()
        assert "Postfix is set up for mailtls already" in setup(room).notes[-1]


def test_tls_from_the_first_byte_works_at_the_door_as_at_the_service() -> None:
    with set_up(Settings(), "smtps") as (postfix, _):
        server = Server(ADDRESS, door_of(postfix, Level.LEGACY).port, tls_at_once=True)
        with Conversation(LISTED, server) as conversation:
            conversation.secure(openssl(ssl.TLSVersion.TLSv1))
            conversation.deliver()


def test_behind_postscreen_the_door_is_the_service_behind_it() -> None:
    with PrivatePostfix(Settings()) as postfix:
        room = room_with_doors(postfix, "postscreen")
        notes = setup(room).notes
        assert any("comes past postscreen" in note for note in notes)
        port = door_of(postfix, Level.LEGACY).port
        room.tables.beside("legacy").put(TablePair({LISTED: "mailtls_waived"}))
        with talk(LISTED, port) as conversation:
            conversation.secure(openssl(ssl.TLSVersion.TLSv1))
            conversation.deliver()


def test_each_address_of_the_mx_gets_a_door_of_its_own() -> None:
    with PrivatePostfix(Settings()) as postfix:
        master, port = postfix.configuration / "master.cf", postfix.ports["smtp"]
        master.write_text(f"127.0.0.2:{port} inet n - n - - smtpd\n{master.read_text()}")
        postfix_reload(postfix)
        room = room_with_doors(postfix, levels=(Level.LEGACY,))
        room = replace(room, services=(*room.services, f"127.0.0.2:{port}"))
        setup(room)
        doors = view_of(postfix).doors
        assert {door.addresses for door in doors} == {("127.0.0.1",), ("127.0.0.2",)}
        room.tables.beside("legacy").put(TablePair({LISTED: "mailtls_waived"}))
        for door in doors:
            with Conversation(LISTED, Server(door.addresses[0], door.port)) as conversation:
                conversation.secure(openssl(ssl.TLSVersion.TLSv1))
                conversation.deliver()


# --- refused, drifted, taken back --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain() -> Iterator[PrivatePostfix]:
    with PrivatePostfix(Settings()) as postfix:
        yield postfix


def test_a_port_in_use_is_refused_and_mail_goes_on(plain: PrivatePostfix) -> None:
    before = (plain.configuration / "master.cf").read_bytes()
    with socket.socket() as taken_port:
        taken_port.bind((ADDRESS, 0))
        taken_port.listen()
        port = taken_port.getsockname()[1]
        room = room_with_doors(plain, ports={Level.LEGACY_RSA: port, Level.LEGACY: port + 1})
        with pytest.raises(RefusedError, match=f"{ADDRESS}:{port}: address already in use"):
            setup(room)
    with pytest.raises(RefusedError, match="choose another port for the door"):
        setup(room_with_doors(plain, ports={Level.LEGACY_RSA: plain.ports["smtp"], Level.LEGACY: plain.ports["smtps"]}))
    assert (plain.configuration / "master.cf").read_bytes() == before
    assert asked(OTHER, plain.ports["smtp"]).startswith("250")


def test_another_setup_changes_nothing_and_unsetup_leaves_every_byte(plain: PrivatePostfix) -> None:
    room, master = room_with_doors(plain), plain.configuration / "master.cf"
    before = master.read_bytes()
    setup(room)
    once = master.read_bytes()
    assert "Postfix is set up for mailtls already" in setup(replace(room, doors=replace(room.doors, self_signed=False))).notes[-1]
    assert master.read_bytes() == once
    assert drift(room) == ()
    notes = unsetup(room).notes
    assert notes == ()
    assert master.read_bytes() == before
    assert not room.doors.own.exists()


def test_a_change_of_the_service_shows_as_drift_and_another_setup_takes_it_over(plain: PrivatePostfix) -> None:
    room, master = room_with_doors(plain), plain.configuration / "master.cf"
    before = master.read_text()
    setup(room)
    entry = f"{ADDRESS}:{plain.ports['smtp']} inet n - n - - smtpd"
    master.write_text(master.read_text().replace(entry, f"{entry}\n  -o content_filter=discard:later", 1))
    said = drift(room)
    assert len(said) == 2
    assert all("-o content_filter is not there and should be 'discard:later'; run mailtlsctl setup" in each for each in said)
    setup(room)
    assert drift(room) == ()
    assert master.read_text().count("content_filter=discard:later") == 3
    unsetup(room)
    assert master.read_text() == before.replace(entry, f"{entry}\n  -o content_filter=discard:later", 1)
    master.write_text(before)


def test_a_setup_that_was_killed_while_it_waited_shows_as_drift_and_another_one_mends_it(plain: PrivatePostfix) -> None:
    room = room_with_doors(plain)
    setup(room)
    made = room.view.read_text()
    room.view.write_text(made.partition("[[doors]]")[0])  # as Leaving has it then
    assert len(drift(room)) == 2
    assert all("does not name it" in each for each in drift(room))
    setup(room)
    assert room.view.read_text() == made
    assert drift(room) == ()
    unsetup(room)


def assert_that_a_signal_leaves_the_view(room: SetupRoom, number: signal.Signals) -> None:
    """End an unsetup while it waits, as systemd or a lost terminal does."""
    told = room.view.read_bytes()
    child = os.fork()
    if not child:
        try:
            unsetup(replace(room, patience_s=60.0))
        except KeyboardInterrupt:
            os._exit(7)
        os._exit(0)
    assert wait_until(lambda: room.view.read_bytes() != told), "the keeper is told that the doors go"
    os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert room.view.read_bytes() == told


@pytest.mark.parametrize("step", ["swapped postfix.toml", "swapped master.cf", "reloaded"])
def test_a_setup_of_doors_that_is_killed_leaves_nothing(plain: PrivatePostfix, step: str) -> None:
    assert_that_killed_setup_leaves_nothing(plain, room_with_doors(plain), step)


def test_an_edited_door_goes_as_a_whole_and_one_that_is_not_wanted_any_more_too(plain: PrivatePostfix) -> None:
    room, master = room_with_doors(plain), plain.configuration / "master.cf"
    before = master.read_bytes()
    setup(room)
    setup(replace(room, doors=replace(room.doors, levels=(Level.LEGACY,))))
    assert [door.level for door in view_of(plain).doors] == [Level.LEGACY]
    assert [door.level for door in plan_setup(room).doors.around.doors] == [Level.LEGACY], "the wish is remembered"  # type: ignore[union-attr]
    master.write_text(master.read_text().replace("-o tls_preempt_cipherlist=no", "-o tls_preempt_cipherlist=yes"))
    notes = unsetup(room).notes
    assert any("was edited since mailtls put it there; the whole entry was taken out" in note for note in notes)
    assert master.read_bytes() == before


def test_sessions_at_a_door_are_waited_for_and_not_cut(plain: PrivatePostfix) -> None:
    room, master = room_with_doors(plain), plain.configuration / "master.cf"
    before = master.read_bytes()
    setup(room)
    door = door_of(plain, Level.LEGACY)
    room.tables.beside("legacy").put(TablePair({LISTED: "mailtls_waived"}))
    with talk(LISTED, door.port) as conversation:
        conversation.greet()
        with pytest.raises(RefusedError, match=r"there are still 1 sessions at the doors .* or with --now"):
            unsetup(replace(room, patience_s=1.0))
        assert_that_a_signal_leaves_the_view(room, signal.SIGTERM)
        assert view_of(plain).door(Level.LEGACY) == door, "the keeper is told that it stays after all"
        last_words = threading.Thread(target=_deliver_when_told, args=(plain, conversation))
        last_words.start()
        unsetup(room)
        last_words.join()
    assert master.read_bytes() == before
    accepted = f"client=unknown[{LISTED}]"
    assert [line for line in plain.lines() if "mailtls-legacy/smtpd" in line and accepted in line]
    with pytest.raises(ConnectionRefusedError):
        talk(LISTED, door.port)


def _deliver_when_told(postfix: PrivatePostfix, conversation: Conversation) -> None:
    """Deliver once the keeper is told that the door goes, and leave."""
    wait_until(lambda: view_of(postfix).door(Level.LEGACY) is None)
    conversation.deliver()
    conversation.quit()


def test_the_files_of_a_trusted_certificate_would_be_found_where_they_usually_lie(plain: PrivatePostfix) -> None:
    """Nobody trusts what a test makes: it is seen, and the note says why it is not taken."""
    live = plain.directory / "etc/letsencrypt/live/mx-rsa"
    live.mkdir(parents=True)
    own = plain.certificates[KeyType.RSA]
    Path(live / "fullchain.pem").write_bytes(own.certificate.read_bytes())
    Path(live / "privkey.pem").write_bytes(own.key.read_bytes())
    notes = " ".join(plan_setup(room_with_doors(plain, self_signed=False)).notes)
    assert f"{live}/fullchain.pem is not signed by an authority that this system trusts" in notes
