"""The whole loop on a real Postfix: a log line in, a live map entry out, and back.

Peers that break on STARTTLS, persons with mailtlsctl, the keeper and mailtlsd as processes of their own. One world is
shared where a test leaves nothing behind but what is known of its own addresses.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from .clients import TLS13_MODERN, breaks_on_starttls, insists, scanner
from .conversation import Conversation
from .world import POLICY, World

BROKEN_POLICY = POLICY.replace('"waive"', '"wave"')


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with World() as world:
        yield world
        assert not [line for line in world.postfix.lines() if "reload --" in line]
        assert world.keeper.running
        assert world.daemon.running


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world; pytest shows what its processes said when a test fails."""
    yield shared
    print(shared.words())


@pytest.fixture
def own() -> Iterator[World]:
    """A world for tests that stop, kill or reconfigure its processes."""
    with World() as world:
        yield world
        assert not [line for line in world.postfix.lines() if "reload --" in line]
        print(world.words())


def starttls(world: World, address: str, way_in: str = "smtp") -> bool:
    return "STARTTLS" in world.offers(address, way_in)


# --- by policy ---------------------------------------------------------------------------------------------------


def test_a_peer_that_breaks_on_starttls_is_diagnosed_waived_and_delivers(world: World) -> None:
    peer = "127.8.1.1"
    assert not breaks_on_starttls(3)(peer, world.door()).delivered
    world.await_entry(peer, there=True)
    assert "starttls" in world.entry(peer).split(", ")
    assert breaks_on_starttls()(peer, world.door()).delivered

    world.await_step(peer, kind="waiver", step="granted", by="mailtlsd", level="cleartext")
    assert world.await_step(peer, kind="decision", action="waive")["cause"] == "not_tls"
    (known,) = world.asked("peers", peer)["peers"]
    assert (known["state"], known["reason"], known["failures"]) == ("waived", "wrong version number", 3)
    explained = world.ctl("explain", peer)
    assert explained.status == 0
    assert "wrong version number (reason 0x10B)" in explained.said
    metrics = world.metrics()
    assert 'mailtls_waivers{level="cleartext"}' in metrics
    assert re.search(r'mailtls_apply_total\{kind="grant",result="live"\} [1-9]', metrics)


def test_two_failures_are_not_enough(world: World) -> None:
    peer = "127.8.1.2"
    breaks_on_starttls(2)(peer, world.door())
    world.await_(lambda: _failures(world, peer) == 2, "both failures are known")
    assert not world.entry(peer)


def test_a_scanner_that_breaks_the_same_way_is_not_waived(world: World) -> None:
    peer = "127.8.1.3"
    scanner(peer, world.door())
    assert not breaks_on_starttls(3)(peer, world.door()).delivered
    world.await_(lambda: _failures(world, peer) == 10, "all failures are known")
    assert world.await_step(peer, kind="decision")["rule"] == "scanner"
    assert not world.entry(peer)
    assert starttls(world, peer)


def test_a_peer_with_good_history_that_breaks_the_same_way_is_not_waived(world: World) -> None:
    peer = "127.8.1.4"
    assert insists(TLS13_MODERN)(peer, world.door()).delivered
    assert not breaks_on_starttls(4)(peer, world.door()).delivered
    step = world.await_step(peer, kind="decision", rule="good_history")
    assert step["action"] == "advise"
    assert "completed TLSv1.3" in step["reasons"][0]
    world.await_(lambda: _failures(world, peer) == 4, "all failures are known")
    assert not world.entry(peer)
    assert starttls(world, peer)


def test_a_peer_that_refuses_cleartext_loses_its_automatic_waiver_with_a_note(world: World) -> None:
    peer = "127.8.1.5"
    stubborn = breaks_on_starttls(3, refuses=True)
    stubborn(peer, world.door())
    world.await_entry(peer, there=True)
    assert not stubborn(peer, world.door()).delivered
    world.await_entry(peer, there=False)
    step = world.await_step(peer, kind="waiver", step="withdrawn")
    assert "refuses cleartext" in " ".join(step["reasons"])
    assert world.await_step(peer, kind="decision", action="withdraw")["rule"] == "useless"
    stubborn(peer, world.door())
    world.await_(lambda: _failures(world, peer) == 6, "its new failures are known")
    assert not world.entry(peer), "what did not help is not tried again"


def _failures(world: World, peer: str) -> int:
    return sum(each["failures"] for each in world.asked("peers", peer)["peers"])


# --- by a person -------------------------------------------------------------------------------------------------


def test_what_a_person_allows_holds_from_the_next_ehlo_until_it_is_revoked(world: World) -> None:
    peer = "127.8.2.1"
    assert starttls(world, peer)
    for _ in range(3):
        allowed = world.ctl("allow-legacy", peer, "--level", "cleartext", "--for", "7d", "--reason", "old copier")
        assert allowed.status == 0, allowed.complained
        assert re.search(r"\(live after [0-9.]+ ms\)", allowed.said)
        assert not starttls(world, peer)
        revoked = world.ctl("revoke", peer)
        assert revoked.status == 0, revoked.complained
        assert re.search(r"\(live after [0-9.]+ ms\)", revoked.said)
        assert starttls(world, peer)
    steps = [step["step"] for step in reversed(world.history(peer)) if step["kind"] == "waiver"]
    assert steps == ["granted", "withdrawn"] * 3


def test_a_peer_in_the_middle_of_a_session_is_not_disturbed(world: World) -> None:
    peer = "127.8.2.2"
    with Conversation(peer, world.door()) as conversation:
        conversation.greet()
        assert world.ctl("allow-legacy", peer, "--level", "cleartext").status == 0
        conversation.deliver()
        conversation.quit()
    assert world.ctl("revoke", peer).status == 0


def test_a_network_is_waived_and_restored_without_a_reload(world: World) -> None:
    network, inside, outside = "127.8.3.0/28", "127.8.3.7", "127.8.3.16"
    assert starttls(world, inside)
    assert world.ctl("allow-legacy", network, "--level", "cleartext").status == 0
    assert not starttls(world, inside)
    assert starttls(world, outside)
    assert world.ctl("revoke", network).status == 0
    assert starttls(world, inside)


def test_submission_still_offers_starttls_and_then_auth_to_a_waived_address(world: World) -> None:
    peer = "127.8.4.1"
    assert world.ctl("allow-legacy", peer, "--level", "cleartext").status == 0
    assert not starttls(world, peer)
    with Conversation(peer, world.door("submission")) as conversation:
        conversation.greet()
        assert "STARTTLS" in conversation.keywords
        assert "AUTH" not in conversation.keywords
        conversation.secure(TLS13_MODERN)
        assert "AUTH" in conversation.keywords
        conversation.quit()
    assert world.ctl("revoke", peer).status == 0


NO_DOOR = {"legacy": "mailtlsctl setup", "legacy-rsa": "mailtlsctl setup", "sslv3": "mailtlsctl setup"}


@pytest.mark.parametrize(("level", "words"), NO_DOOR.items())
def test_levels_that_have_no_door_yet_are_refused_with_a_sentence(world: World, level: str, words: str) -> None:
    refused = world.ctl("allow-legacy", "127.8.4.2", "--level", level)
    assert refused.status == 4
    assert words in refused.complained
    assert not world.entry("127.8.4.2")


def test_what_a_person_revoked_is_not_given_again_by_the_policy(world: World) -> None:
    peer = "127.8.4.3"
    breaks_on_starttls(3)(peer, world.door())
    world.await_entry(peer, there=True)
    assert world.ctl("revoke", peer).status == 0
    breaks_on_starttls(4)(peer, world.door())
    world.await_(lambda: _failures(world, peer) == 7, "its new failures are known")
    assert not world.entry(peer)
    assert starttls(world, peer)


# --- the end of a waiver -----------------------------------------------------------------------------------------


def test_a_waiver_ends_by_the_clock(world: World) -> None:
    peer = "127.8.5.1"
    assert world.ctl("allow-legacy", peer, "--level", "cleartext", "--for", "3s").status == 0
    world.await_entry(peer, there=False)
    assert starttls(world, peer)
    assert world.await_step(peer, kind="waiver", step="expired")["by"] == "clock"


def test_a_waiver_ends_also_when_mailtlsd_is_dead(own: World) -> None:
    own.daemon.kill()
    assert own.ctl("allow-legacy", "127.8.5.2", "--level", "cleartext", "--for", "3s").status == 0
    own.await_entry("127.8.5.2", there=False)
    assert starttls(own, "127.8.5.2")
    own.daemon.start()
    own.await_daemon()
    own.await_step("127.8.5.2", kind="waiver", step="expired")


def test_a_waiver_ends_also_when_the_keeper_is_dead(own: World) -> None:
    short, long = "127.8.5.3", "127.8.5.4"
    assert own.ctl("allow-legacy", long, "--level", "cleartext", "--for", "1d").status == 0
    _kill_the_keeper_before_this_ends(own, short)
    assert not starttls(own, short)

    def is_ended() -> bool:
        assert own.run("mailtls-keeper", "--expire-once").status == 0
        return not own.entry(short)

    own.await_(is_ended, "--expire-once ends it")
    assert starttls(own, short)
    assert not starttls(own, long)
    assert [waiver["network"] for waiver in own.asked("waivers")["waivers"]] == [long]
    own.keeper.start()
    own.await_step(short, kind="waiver", step="expired")
    assert [waiver["network"] for waiver in own.asked("waivers")["waivers"]] == [long]


def _kill_the_keeper_before_this_ends(own: World, peer: str) -> None:
    """Let a peer in for so short a time that it can be waited for, but is not over before the keeper is dead."""
    for seconds in (3, 12, 48):
        assert own.ctl("allow-legacy", peer, "--level", "cleartext", "--for", f"{seconds}s").status == 0
        own.keeper.kill()
        if own.entry(peer):
            return
        own.keeper.start()
        own.await_keeper()
    pytest.fail("this machine is too slow to kill the keeper in 48 seconds")


# --- running -----------------------------------------------------------------------------------------------------


def test_a_broken_policy_is_refused_and_the_old_one_stays(own: World) -> None:
    own.policy.write_text(BROKEN_POLICY)
    own.daemon.signal(signal.SIGHUP)
    own.keeper.signal(signal.SIGHUP)

    def is_said() -> bool:
        status = own.asked("status")
        return all(
            any("wave" in fault["sentence"] for fault in status[who]["faults"]) for who in ("mailtlsd", "keeper")
        )

    own.await_(is_said, "both say what is wrong with the policy")
    breaks_on_starttls(3)("127.8.6.1", own.door())
    own.await_entry("127.8.6.1", there=True)
    own.policy.write_text(POLICY)
    own.daemon.signal(signal.SIGHUP)
    own.await_(lambda: not own.asked("status")["mailtlsd"]["faults"], "the fault is gone with its cause")


def test_sigterm_ends_both_in_time_and_leaves_the_tables_as_they_are(own: World) -> None:
    breaks_on_starttls(3)("127.8.6.2", own.door())
    own.await_entry("127.8.6.2", there=True)
    for service in (own.daemon, own.keeper):
        service.signal(signal.SIGTERM)
        assert service.wait(5.0) == 0, f"{service.name} did not stop as it promises"
    assert breaks_on_starttls()("127.8.6.2", own.door()).delivered
    assert own.ctl("status").status == 3
    assert own.ctl("revoke", "127.8.6.2").status == 3


def test_what_failed_while_mailtlsd_was_dead_is_made_up_for(own: World) -> None:
    peer = "127.8.6.3"
    breaks_on_starttls(2)(peer, own.door())
    own.await_(lambda: _failures(own, peer) == 2, "both failures are known")
    own.daemon.kill()
    breaks_on_starttls(1)(peer, own.door())
    own.daemon.start()
    own.await_daemon()
    own.await_entry(peer, there=True)
    assert _failures(own, peer) == 3


def test_nothing_is_waived_without_a_keeper_and_everything_is_once_it_is_back(own: World) -> None:
    peer = "127.8.6.4"
    own.keeper.kill()
    assert not breaks_on_starttls(3)(peer, own.door()).delivered
    own.await_(lambda: _failures(own, peer) == 3, "its failures are known")
    assert not own.entry(peer)
    own.keeper.start()
    own.await_entry(peer, there=True)
    assert breaks_on_starttls()(peer, own.door()).delivered
