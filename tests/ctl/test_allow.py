"""`allow-legacy` and `revoke`, run as a program against a keeper that keeps what it is told."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.test_offer import BOTH, HARD, HARD_ECDSA, LEGACY_RSA_DOOR, STOCK
from ctl.parties import Odd, World, a_peer, a_waiver, a_world, explained
from ctl.program import PROGRAM, environment
from mailtls.core.cause import Cause
from mailtls.core.keeperprotocol import Grant, ListWaivers, Reply
from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway, PostfixSettings
from mailtls.core.waiverlimit import Limited

GATEWAY = Doorway(level=Level.SSLV3, port=10325)
ECDSA_ONLY = PostfixSettings(strict=HARD_ECDSA, doors=(*BOTH, GATEWAY))
SENTENCE = re.compile(r"mailtlsctl: [^\n]+\n")
CLEARTEXT = ["--level", "cleartext"]


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


def the_grant(world: World) -> Grant:
    [grant] = [request for request in world.keeper.requests if isinstance(request, Grant)]
    return grant


def test_allow_grants_and_says_until_when_how_fast_at_what_cost_and_how_to_end_it(world: World) -> None:
    before = datetime.now(UTC)
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT, "--for", "7d", "--reason", "old copier")
    grant = the_grant(world)
    local = grant.until.astimezone()
    assert (seen.returncode, seen.stderr) == (0, "")
    assert f"192.0.2.7 is let in at level cleartext until {local:%Y-%m-%d %H:%M} (live after 7 ms)." in seen.stdout
    assert "its mail is not encrypted" in " ".join(seen.stdout.split())
    assert "mailtlsctl revoke 192.0.2.7" in seen.stdout
    assert before + timedelta(days=7) <= grant.until <= datetime.now(UTC) + timedelta(days=7)
    assert (grant.network, grant.level, grant.reason) == ("192.0.2.7", Level.CLEARTEXT, "old copier")


def test_without_for_and_reason_it_is_thirty_days_and_no_reason_given(world: World) -> None:
    with world.running():
        world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT)
    grant = the_grant(world)
    assert grant.reason == "no reason given"
    assert timedelta(days=29) < grant.until - datetime.now(UTC) <= timedelta(days=30)


def test_what_a_waiver_is_good_for_is_asked_of_the_keeper_and_said_where_nobody_holds_it(world: World) -> None:
    words = ["--only-from", "a.example", "--only-from", ".b.example", "--max-size", "20M"]
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT, *words)
    assert the_grant(world).limits == Limited(senders=("a.example", ".b.example"), size=20 << 20)
    assert "mailtlsctl setup --policy-service" in seen.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--max-size", "much"], 2, '--max-size: "much" is no size'),
        (["--only-to", "a@b.example"], 4, "at a door only"),
        (["--only-from", "a b"], 4, "is no host name"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(words: list[str], status: int, said: str, world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT, *words)
    assert (seen.returncode, said in " ".join(seen.stderr.split())) == (status, True), seen.stderr
    assert not [request for request in world.keeper.requests if isinstance(request, Grant)]


def test_every_request_has_an_id_of_its_own(world: World) -> None:
    with world.running():
        for _ in range(2):
            world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT)
    assert len({request.id for request in world.keeper.requests}) == 2


MEANT = [("mx.example.com[192.0.2.7]", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("192.0.2.0/28", "192.0.2.0/28"),
         ("2001:DB8:0::7", "2001:db8::7"), ("192.0.2.7/32", "192.0.2.7"), ("2001:db8::/48", "2001:db8::/48")]  # fmt: skip


@pytest.mark.parametrize(("typed", "network"), MEANT)
def test_the_keeper_is_asked_for_the_canonical_address_or_network(typed: str, network: str, world: World) -> None:
    with world.running():
        assert world.mailtlsctl("allow-legacy", typed, *CLEARTEXT).returncode == 0
        assert the_grant(world).network == network
        assert world.mailtlsctl("revoke", typed).returncode == 0
    assert world.keeper.waivers == {}


def test_a_dry_run_changes_nothing_and_says_so(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT, "--dry-run")
    assert seen.returncode == 0
    assert the_grant(world).dry_run
    assert "192.0.2.7 would be let in at level cleartext" in seen.stdout
    assert "Nothing was changed." in seen.stdout
    assert "live" not in seen.stdout


@pytest.mark.parametrize("level", ["legacy-rsa", "legacy", "sslv3"])
def test_a_refusal_is_the_keepers_own_sentence_and_exit_status_4(level: str, world: World) -> None:
    world.set_up(ECDSA_ONLY)
    world.keeper.doors = {}
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", "--level", level)
        as_json = world.mailtlsctl("allow-legacy", "192.0.2.7", "--level", level, "--json")
    assert (seen.returncode, seen.stdout) == (4, "")
    assert seen.stderr == f"mailtlsctl: level {level} has no door here yet\n"
    assert as_json.returncode == 4
    assert Reply.model_validate_json(as_json.stdout).refused == f"level {level} has no door here yet"


def test_what_no_look_up_has_proved_is_not_done(world: World) -> None:
    world.keeper.live = False
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT)
    assert (seen.returncode, seen.stdout) == (4, "")
    assert "no look-up in the tables has proved it" in seen.stderr


def test_the_json_is_the_keepers_reply(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT, "--json")
    reply = Reply.model_validate_json(seen.stdout)
    assert seen.returncode == 0
    assert reply.live
    assert reply.milliseconds == 7.4
    assert reply.waiver == world.keeper.waivers["192.0.2.7"]


CHOSEN: list[tuple[dict[str, Any], str]] = [
    ({}, "legacy"),
    ({"reason": "version too low"}, "sslv3"),
    ({"cause": Cause.NO_SHARED_CIPHER, "reason": "no shared cipher"}, "legacy-rsa"),
    ({"failures": 0}, "legacy"),
]


@pytest.mark.parametrize(("changes", "level"), CHOSEN)
def test_without_a_level_it_is_the_narrowest_that_the_evidence_supports(
    changes: dict[str, Any], level: str, world: World
) -> None:
    world.set_up(ECDSA_ONLY)
    world.daemon.explained = [explained(a_peer(**changes))]
    with world.running():
        world.mailtlsctl("allow-legacy", "192.0.2.7")
    assert the_grant(world).level == level


def test_legacy_is_taken_where_nothing_is_known_also_without_mailtlsd(world: World) -> None:
    world.set_up(ECDSA_ONLY)
    with world.running(without="daemon"):
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7")
    assert the_grant(world).level is Level.LEGACY
    assert "what it knows of 192.0.2.7 was not considered" in seen.stderr


@pytest.mark.parametrize(("cause", "reason"), [(Cause.NOT_TLS, "wrong version number"), (Cause.NETWORK_CUT, None)])
def test_cleartext_is_never_taken_unasked(cause: Cause, reason: str | None, world: World) -> None:
    world.daemon.explained = [explained(a_peer(cause=cause, reason=reason))]
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7")
    assert (seen.returncode, seen.stdout) == (4, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert "mailtlsctl allow-legacy 192.0.2.7 --level cleartext" in seen.stderr
    assert world.keeper.requests == []


def test_a_peer_is_let_in_by_its_door_with_the_reason_and_the_milliseconds(world: World) -> None:
    world.set_up(PostfixSettings(strict=HARD_ECDSA, doors=(trusted(LEGACY_RSA_DOOR),)))
    world.daemon.explained = [explained(a_peer(cause=Cause.NO_SHARED_CIPHER, reason="no shared cipher"))]
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", COLUMNS="200")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "192.0.2.7 is let in at level legacy-rsa until" in seen.stdout
    assert "(live after 7 ms)" in seen.stdout
    assert "Level legacy-rsa was taken, because peer and server share no cipher" in " ".join(seen.stdout.split())
    assert "publicly trusted" not in seen.stdout


def trusted(door: Doorway) -> Doorway:
    return door.model_copy(update={"trusted": True})


def test_of_a_certificate_that_nobody_trusts_it_is_said_whom_the_door_does_not_help(world: World) -> None:
    world.set_up(ECDSA_ONLY)
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", "--level", "legacy-rsa", COLUMNS="200")
    assert seen.returncode == 0
    assert "a sender that checks certificates (DANE, MTA-STS) gets in no more than before" in " ".join(seen.stdout.split())


NO_USE = [
    (PostfixSettings(), "to make it: mailtlsctl setup"),
    (PostfixSettings(strict=HARD), "to make it: mailtlsctl setup"),
    (PostfixSettings(strict=STOCK), "the strict door takes TLS 1.0 and later, with an RSA certificate"),
]


@pytest.mark.parametrize("named", [[], ["--level", "legacy"]], ids=["chosen", "named"])
@pytest.mark.parametrize(("view", "words"), NO_USE)
def test_a_waiver_that_would_be_of_no_use_is_refused_with_what_to_do(
    view: PostfixSettings, words: str, named: list[str], world: World
) -> None:
    world.set_up(view)
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *named)
        as_json = world.mailtlsctl("allow-legacy", "192.0.2.7", *named, "--json")
    assert (seen.returncode, seen.stdout) == (4, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert words in seen.stderr
    assert as_json.returncode == 4
    assert words in (Reply.model_validate_json(as_json.stdout).refused or "")
    assert "cleartext" not in seen.stderr, "nothing is known that would be worth that"
    assert world.keeper.requests == []


def test_a_name_is_answered_with_the_commands_to_type_and_grants_nothing(world: World) -> None:
    world.daemon.known = [a_peer("192.0.2.7"), a_peer("2001:db8::7"), a_peer("198.51.100.1", name="other.example")]
    wish = [*CLEARTEXT, "--for", "7d", "--reason", "the old copier's"]
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "mx.example.com", *wish)
        assert seen.returncode == 2
        assert world.keeper.requests == []
        commands = [line.strip() for line in seen.stdout.splitlines() if line.strip().startswith("mailtlsctl ")]
        assert [shlex.split(command)[1:] for command in commands] == [
            ["allow-legacy", ip, *wish] for ip in ("192.0.2.7", "2001:db8::7")
        ]
        assert world.mailtlsctl(*shlex.split(commands[0])[1:]).returncode == 0


def test_a_name_that_was_never_seen_is_exit_status_2(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("allow-legacy", ".example.net")
    assert (seen.returncode, seen.stdout) == (2, "")
    assert SENTENCE.fullmatch(seen.stderr)


def test_revoke_ends_the_waiver_and_says_how_fast(world: World) -> None:
    world.keeper.waivers["192.0.2.7"] = a_waiver()
    with world.running():
        seen = world.mailtlsctl("revoke", "192.0.2.7", "--reason", "replaced")
        again = world.mailtlsctl("revoke", "192.0.2.7")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "192.0.2.7 is restored to what everybody gets (live after 3 ms)." in seen.stdout
    assert world.keeper.requests[0].why == "replaced"
    assert (again.returncode, again.stdout) == (4, "")
    assert again.stderr == "mailtlsctl: 192.0.2.7 has no waiver; see: mailtlsctl waivers\n"


@pytest.mark.parametrize(("typed", "standing"), [("192.0.2.7", "192.0.2.0/24"), ("192.0.2.0/24", "192.0.2.7"),
                                                 ("192.0.2.0/24", "192.0.2.0/26"), ("192.0.2.0/26", "192.0.2.0/24")])  # fmt: skip
def test_revoke_of_what_has_no_waiver_names_those_that_have_to_do_with_it(
    typed: str, standing: str, world: World
) -> None:
    world.keeper.waivers = {standing: a_waiver(standing), "198.51.100.1": a_waiver("198.51.100.1")}
    with world.running():
        seen = world.mailtlsctl("revoke", typed)
    assert seen.returncode == 4
    assert f"mailtlsctl revoke {standing}" in seen.stderr
    assert "198.51.100.1" not in seen.stderr
    assert ListWaivers(about=typed) in world.keeper.requests
    assert ListWaivers() not in world.keeper.requests, "a list may be long"


def test_a_peer_that_another_waiver_covers_is_not_said_to_be_restored(world: World) -> None:
    world.keeper.waivers = {network: a_waiver(network) for network in ("192.0.2.7", "192.0.2.0/24", "198.51.100.0/24")}
    with world.running():
        seen = world.mailtlsctl("revoke", "192.0.2.7")
    assert seen.returncode == 0
    assert "restored" not in seen.stdout
    assert "The waiver of 192.0.2.7 is ended (live after 3 ms), but others cover it:" in seen.stdout
    assert "mailtlsctl revoke 192.0.2.0/24" in " ".join(seen.stdout.split())
    assert "198.51.100" not in seen.stdout


def test_a_network_is_restored_although_addresses_of_it_keep_their_own_waivers(world: World) -> None:
    world.keeper.waivers = {network: a_waiver(network) for network in ("192.0.2.0", "192.0.2.0/24")}
    with world.running():
        seen = world.mailtlsctl("revoke", "192.0.2.0/24")
    assert "192.0.2.0/24 is restored" in seen.stdout


def test_revoke_of_a_name_prints_the_commands_for_its_waivers(world: World) -> None:
    of_a_network = a_peer("192.0.2.7", waiver=a_waiver("192.0.2.0/28"))
    world.daemon.known = [of_a_network, a_peer("192.0.2.99")]
    with world.running():
        seen = world.mailtlsctl("revoke", "mx.example.com")
    assert seen.returncode == 2
    assert "    mailtlsctl revoke 192.0.2.0/28\n" in seen.stdout
    assert "192.0.2.99" not in seen.stdout
    assert world.keeper.requests == []


DEEDS = [["allow-legacy", "192.0.2.7", *CLEARTEXT], ["revoke", "192.0.2.7"]]


@pytest.mark.parametrize("command", DEEDS, ids=str)
def test_without_the_keeper_it_is_exit_status_3_and_surely_not_done(command: list[str], world: World) -> None:
    with world.running(without="keeper"):
        seen = world.mailtlsctl(*command)
    assert (seen.returncode, seen.stdout) == (3, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert str(world.places.keeper_socket) in seen.stderr
    assert "systemctl status mailtls-keeper" in seen.stderr
    assert "not known" not in seen.stderr


@pytest.mark.parametrize("odd", [Odd.closes, Odd.half_a_line, Odd.garbage, Odd.another_protocol, Odd.endless])
@pytest.mark.parametrize("command", DEEDS, ids=str)
def test_a_keeper_that_answers_badly_leaves_a_doubt_that_is_said(odd: Any, command: list[str], world: World) -> None:
    with world.running(keeper=odd):
        seen = world.mailtlsctl(*command)
    assert (seen.returncode, seen.stdout) == (3, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert "whether it was done is not known: look with mailtlsctl waivers" in seen.stderr


def test_a_keeper_that_refuses_a_stranger_is_heard(world: World) -> None:
    with world.running(keeper=Odd.refuses_and_closes):
        seen = world.mailtlsctl(*DEEDS[0])
    assert (seen.returncode, seen.stderr) == (4, "mailtlsctl: you are nobody here\n")


def test_interrupting_says_that_it_may_have_been_done(world: World) -> None:
    asked = threading.Event()

    def silent(connection: Any) -> None:
        connection.rfile.readline()
        asked.set()
        connection.rfile.read()

    with (
        world.running(keeper=silent),
        subprocess.Popen([PROGRAM, *DEEDS[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env=environment(MAILTLS_CONFIG=str(world.config))) as running,
    ):  # fmt: skip
        assert asked.wait(60)
        running.send_signal(signal.SIGINT)
        out, complaint = running.communicate()
    assert (running.returncode, out) == (130, "")
    assert "whether it was done is not known" in complaint
    assert SENTENCE.fullmatch(complaint)


def test_the_person_behind_sudo_owns_what_root_grants(world: World) -> None:
    with world.running():
        world.mailtlsctl(*DEEDS[0], SUDO_USER="alice")
    assert the_grant(world).owner == ("alice" if os.geteuid() == 0 else None)


USAGE = [["--for", "7"], ["--for", "0d"], ["--for", "11w 3d"], ["--for", "99999999d"], ["--level", "tls10"],
         ["--reason", "x" * 501], ["--for", "\x1b[2J"]]  # fmt: skip


@pytest.mark.parametrize("arguments", USAGE, ids=str)
def test_wrong_usage_is_one_sentence_and_asks_nobody(arguments: list[str], world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "192.0.2.7", *CLEARTEXT, *arguments)
    assert (seen.returncode, seen.stdout) == (2, "")
    assert SENTENCE.fullmatch(seen.stderr)
    assert "\x1b" not in seen.stderr
    assert world.keeper.requests == []


def test_what_a_person_writes_is_printable_before_the_keeper_gets_it(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl(*DEEDS[0], "--reason", "old\x1b[31m\ncopier\udcff")
    assert seen.returncode == 0
    assert the_grant(world).reason == "old?[31m copier?"


def test_json_of_a_name_is_the_addresses(world: World) -> None:
    world.daemon.known = [a_peer("192.0.2.7")]
    with world.running():
        seen = world.mailtlsctl("allow-legacy", "mx.example.com", "--json")
    assert seen.returncode == 2
    assert [peer["ip"] for peer in json.loads(seen.stdout)["peers"]] == ["192.0.2.7"]
