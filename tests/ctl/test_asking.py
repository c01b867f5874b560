"""What mailtlsctl prints of a mailtlsd and a keeper: status, peers, waivers, history, explain; run as a program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from core.test_offer import BOTH, HARD, HARD_ECDSA, STOCK
from ctl.parties import NOW, Odd, World, a_peer, a_status, a_waiver, a_world, explained
from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.controlprotocol import Answer, PastStep
from mailtls.core.keeperprotocol import Fault, Step
from mailtls.core.level import Level
from mailtls.core.postfixview import PostfixSettings
from mailtls.core.waiver import Origin
from mailtls.ctl.status import StatusPage

SENTENCE = re.compile(r"mailtlsctl: [^\n]+\n")
ASKING = [["status"], ["peers"], ["waivers"], ["history"], ["explain", "192.0.2.7"], ["watch"], ["floor", "TLSv1.2"], ["inventory"]]
HOSTILE = "mx\x1b[31m\u202emoc.elpmaxe\x9b2J\u2028\x07[bold]"
LONG = "a-very-long-label." * 12 + "example"
V6 = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


def full(world: World, name: str = "mx.example.com") -> World:
    """Fill the world with one of everything, under a name that a stranger chose."""
    waiver = a_waiver(reason=f"old copier of {name}"[:500], owner="alice")
    peers = [a_peer(name=name, waiver=waiver), a_peer(V6, name=name, state="ok", failures=0, tls_version="TLSv1.3")]
    step = PastStep(
        at=NOW, kind="decision", ip="192.0.2.7", name=name, action=Action.PROPOSE, rule="threshold",
        cause=Cause.PEER_TOO_OLD, level=Level.LEGACY, until=NOW, reasons=(f"{name} failed 3 times",),
        evidence=("line",), alternatives=("wait for more",),
    )  # fmt: skip
    granted = PastStep(at=NOW, kind="waiver", ip=V6, step=Step.GRANTED, by="root", level=Level.CLEARTEXT, until=NOW)
    world.daemon.known = peers
    world.daemon.history = (step, granted)
    world.daemon.waivers = (waiver, a_waiver("2001:db8::/32", id="w2", owner=name, reason=name))
    world.daemon.explained = [explained(peer, history=(step, granted), ruling=step) for peer in peers]
    fault = Fault(kind="database", sentence=f"the database says {name}")
    world.daemon.status = a_status(faults=(fault,), server_fault=name, remembers=False)
    return world


def test_status_tells_both_of_them_on_one_screen(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("status")
    assert (seen.returncode, seen.stderr) == (0, "")
    for words in ("version 0.2.0", "0.2 s", "12,345", "/var/log/mail.log", "1,200 ok", "17 of them failed",
                  "2 cleartext", "lmdb:/x/discard"):  # fmt: skip
        assert words in seen.stdout
    assert "Needs a person" not in seen.stdout
    assert len(seen.stdout.splitlines()) <= 24


def test_status_tells_the_doors_whether_they_serve_and_what_they_take(world: World) -> None:
    world.set_up(PostfixSettings(strict=HARD_ECDSA, doors=BOTH))
    world.keeper.doors = {Level.LEGACY_RSA: True, Level.LEGACY: False}
    world.keeper.waivers = {ip: a_waiver(ip, level=Level.LEGACY) for ip in ("192.0.2.7", "192.0.2.8")}
    with world.running():
        seen = " ".join(world.mailtlsctl("status", COLUMNS="160").stdout.split())
        page = StatusPage.model_validate_json(world.mailtlsctl("status", "--json").stdout)
    assert "10125 0 legacy-rsa serves RSA certificate; 1 suite; certificate not publicly trusted" in seen
    assert "10225 2 legacy DOWN TLSv1, TLSv1.1; RSA certificate; 8 suites; certificate not publicly trusted" in seen
    assert "The legacy door does not serve: no banner within 5 s" in seen
    assert "12% of what the kernel can track" in seen
    assert [(door.level, door.up, door.waivers) for door in page.doors] == [("legacy-rsa", True, 0), ("legacy", False, 2)]
    assert page.doors[1].beyond is not None
    assert page.doors[1].beyond.versions == ("TLSv1", "TLSv1.1")


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (PostfixSettings(), "none; setup has not looked"),
        (PostfixSettings(strict=STOCK), "none; the strict door takes TLS 1.0 and later"),
        (PostfixSettings(strict=HARD), "none; to make them: mailtlsctl setup"),
    ],
)
def test_status_says_why_there_are_no_doors(view: PostfixSettings, words: str, world: World) -> None:
    world.set_up(view)
    with world.running():
        assert words in " ".join(world.mailtlsctl("status").stdout.split())


def test_without_the_keeper_nobody_knows_whether_a_door_serves(world: World) -> None:
    world.set_up(PostfixSettings(strict=HARD_ECDSA, doors=BOTH))
    with world.running(without="keeper"):
        seen = " ".join(world.mailtlsctl("status", COLUMNS="160").stdout.split())
    assert "10225 - legacy not known" in seen


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"server_fault": "no certificate can be read"}, "The server itself is at fault: no certificate"),
    ({"remembers": False}, "cannot remember"),
    ({"keeper": False}, "does not reach the keeper"),
    ({"faults": (Fault(kind="policy", sentence="line 3 is no policy"),)}, "policy: line 3 is no policy"),
]


@pytest.mark.parametrize(("changes", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_what_needs_a_person_stands_before_everything_that_does_not(
    changes: dict[str, Any], words: str, world: World
) -> None:
    world.daemon.status = a_status(**changes)
    with world.running():
        seen = world.mailtlsctl("status")
    assert seen.returncode == 0
    assert seen.stdout.index("Needs a person") < seen.stdout.index(words) < seen.stdout.index("Logs")


def test_a_log_that_is_silent_or_closed_needs_a_person(world: World) -> None:
    [source] = a_status().sources
    denied = source.model_copy(update={"state": "denied", "said": "mailtlsd may not read it."})
    world.daemon.status = a_status(sources=(denied,))
    with world.running():
        assert "/var/log/mail.log is denied. mailtlsd may not read it." in world.mailtlsctl("status").stdout


def test_a_dead_mailtlsd_beside_a_living_keeper_is_told_with_the_keepers_health(world: World) -> None:
    with world.running(without="daemon"):
        seen = world.mailtlsctl("status")
        page = json.loads(world.mailtlsctl("status", "--json").stdout)
    assert seen.returncode == 3
    assert SENTENCE.fullmatch(seen.stderr)
    assert str(world.places.control) in seen.stderr
    assert "systemctl status mailtlsd" in seen.stderr
    assert "DOES NOT ANSWER" in seen.stdout
    assert "lmdb:/x/discard" in seen.stdout
    assert page["mailtlsd"] is None
    assert page["keeper"]["tables"] == ["lmdb:/x/discard"]


def test_a_dead_keeper_beside_a_living_mailtlsd_is_exit_status_3_too(world: World) -> None:
    with world.running(without="keeper"):
        seen = world.mailtlsctl("status")
    assert seen.returncode == 3
    assert "systemctl status mailtls-keeper" in seen.stderr
    assert "1,200 ok" in seen.stdout


def test_the_json_of_status_is_its_model(world: World) -> None:
    with world.running():
        page = StatusPage.model_validate_json(world.mailtlsctl("status", "--json").stdout)
    assert page.mailtlsd == world.daemon.status
    assert page.keeper is not None
    assert page.unreachable == ()


@pytest.mark.parametrize(
    ("command", "field"),
    [(["peers"], "peers"), (["waivers"], "waivers"), (["history"], "history"), (["explain", "0.0.0.0/0"], "explained")],
)
def test_the_json_of_the_others_is_the_answer_of_mailtlsd(command: list[str], field: str, world: World) -> None:
    with full(world).running():
        seen = world.mailtlsctl(*command, "--json")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert list(json.loads(seen.stdout)) == [field]
    answer = Answer.model_validate_json(seen.stdout)
    assert getattr(answer, field) == tuple(
        {"peers": world.daemon.known, "waivers": world.daemon.waivers, "history": world.daemon.history,
         "explained": world.daemon.explained[:1]}[field]
    )  # fmt: skip


def test_peers_are_told_with_state_reason_and_waiver(world: World) -> None:
    with full(world).running():
        seen = world.mailtlsctl("peers", COLUMNS="120")
        failing = world.mailtlsctl("peers", "--failing")
        named = world.mailtlsctl("peers", ".example.com")
        nobody = world.mailtlsctl("peers", "198.51.100.1")
    assert "192.0.2.7  mx.example.com\n" in seen.stdout
    assert "failing: 3 of 12 sessions failed (unsupported protocol; peer_too_old), 4 mails" in seen.stdout
    assert "let in at level cleartext until" in seen.stdout
    assert V6 in seen.stdout
    assert V6 not in failing.stdout
    assert V6 in named.stdout
    assert (nobody.returncode, nobody.stdout) == (0, "No such peer was seen.\n")


def test_a_list_that_was_cut_says_so(world: World) -> None:
    with full(world).running():
        assert "The latest 1; --limit" in world.mailtlsctl("peers", "--limit", "1").stdout
        assert "--limit" not in world.mailtlsctl("peers").stdout
        assert "The latest 1; --limit" in world.mailtlsctl("history", "--limit", "1").stdout


def test_waivers_are_told_the_next_to_end_first(world: World) -> None:
    soon = a_waiver("198.51.100.9", id="w3", until=NOW + timedelta(days=1), latest=NOW + timedelta(days=9),
                    origin=Origin.POLICY, cause=Cause.NOT_TLS)  # fmt: skip
    world.daemon.waivers = (a_waiver(), soon)
    with world.running():
        seen = world.mailtlsctl("waivers").stdout
    assert seen.index("198.51.100.9  cleartext until") < seen.index("192.0.2.7  cleartext until")
    assert "by the policy, for not_tls, renewed while used" in seen
    assert "alice: old copier" in seen
    assert "2 waivers; mailtlsctl revoke PEER" in seen


def test_waivers_of_a_dead_mailtlsd_are_the_keepers_own(world: World) -> None:
    world.keeper.waivers["192.0.2.7"] = a_waiver()
    with world.running(without="daemon"):
        seen = world.mailtlsctl("waivers")
    assert seen.returncode == 3
    assert "192.0.2.7  cleartext until" in seen.stdout
    assert "the keeper's own list" in seen.stderr
    gone = world.mailtlsctl("waivers")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert SENTENCE.fullmatch(gone.stderr)


def test_history_tells_what_why_and_what_else(world: World) -> None:
    with full(world).running():
        seen = world.mailtlsctl("history").stdout
    assert re.search(r"propose legacy until \S+ \S+ by rule threshold\n    192\.0\.2\.7  mx\.ex", seen)
    assert "    mx.example.com failed 3 times\n    or: wait for more\n" in seen
    assert "by root" in seen


def test_explain_without_logs_tells_what_mailtlsd_remembers_and_why(world: World) -> None:
    with full(world).running():
        seen = world.mailtlsctl("explain", "192.0.2.7")
    assert (seen.returncode, seen.stderr) == (0, "")
    for words in ("6  peer_too_old, smtpd; 2026-11-19 to 2026-11-21", "SSL_accept error from",
                  "The peer offers no protocol version", "propose legacy", "or: wait for more",
                  "mailtlsctl revoke 192.0.2.7"):  # fmt: skip
        assert words in seen.stdout
    assert world.daemon.questions[-1].whom == "192.0.2.7"


def test_explain_of_a_failing_peer_names_the_command_that_lets_it_in(world: World) -> None:
    world.daemon.explained = [explained(a_peer())]
    with world.running():
        told = world.mailtlsctl("explain", "mx.example.com").stdout
        assert "mailtlsctl allow-legacy 192.0.2.7 --level legacy" in " ".join(told.split())
        world.daemon.explained = [explained(a_peer(failures=0, state="ok"))]
        assert "nothing needs doing" in world.mailtlsctl("explain", "mx.example.com").stdout


@pytest.mark.parametrize("form", [[], ["--json"]], ids=str)
def test_explain_of_an_unknown_peer_is_exit_status_1(form: list[str], world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("explain", "198.51.100.1", *form)
    assert seen.returncode == 1
    assert SENTENCE.fullmatch(seen.stderr)
    assert "--log" in seen.stderr
    assert seen.stdout == ("" if not form else '{\n "explained": []\n}\n')


@pytest.mark.parametrize("command", ASKING, ids=str)
def test_without_mailtlsd_it_is_exit_status_3_and_the_next_command(command: list[str], world: World) -> None:
    seen = world.mailtlsctl(*command)
    assert seen.returncode == 3
    assert str(world.places.control) in seen.stderr
    assert "systemctl status mailtlsd" in seen.stderr
    assert all(SENTENCE.fullmatch(f"{line}\n") for line in seen.stderr.splitlines())


@pytest.mark.parametrize("odd", [Odd.closes, Odd.half_a_line, Odd.garbage, Odd.another_protocol, Odd.endless])
@pytest.mark.parametrize("command", [["status"], ["peers"], ["watch"]], ids=str)
def test_an_odd_mailtlsd_is_exit_status_3_and_a_sentence(odd: Any, command: list[str], world: World) -> None:
    with world.running(daemon=odd):
        seen = world.mailtlsctl(*command)
    assert seen.returncode == 3
    assert SENTENCE.fullmatch(seen.stderr)
    assert "\x1b" not in seen.stderr + seen.stdout


@pytest.mark.parametrize("command", [command for command in ASKING if command != ["status"]], ids=str)
def test_a_mailtlsd_that_cannot_tell_is_exit_status_4_in_its_own_words(command: list[str], world: World) -> None:
    world.daemon.error = "the database is locked"
    with world.running():
        seen = world.mailtlsctl(*command)
    assert (seen.returncode, seen.stderr) == (4, "mailtlsctl: mailtlsd: the database is locked\n")


EVERY = [["status"], ["peers"], ["waivers"], ["history"], ["explain", "192.0.2.7"], ["explain", V6]]


@pytest.mark.parametrize("command", EVERY, ids=str)
def test_text_of_strangers_never_reaches_the_terminal_raw(command: list[str], world: World) -> None:
    with full(world, HOSTILE).running():
        for form in ([], ["--json"]):
            seen = world.mailtlsctl(*command, *form)
            assert seen.returncode == 0
            assert not {"\x1b", "\u202e", "\u2028", "\x9b", "\x07"} & set(seen.stdout + seen.stderr)
            assert "[bold]" in seen.stdout


@pytest.mark.parametrize("command", EVERY, ids=str)
@pytest.mark.parametrize("columns", [80, 100])
def test_every_line_fits_the_screen_and_no_address_is_broken(command: list[str], columns: int, world: World) -> None:
    with full(world, LONG).running():
        seen = world.mailtlsctl(*command, COLUMNS=str(columns))
    assert seen.returncode == 0
    assert max(map(len, seen.stdout.splitlines())) <= columns
    if command[0] != "status":
        assert "192.0.2.7" in seen.stdout or V6 in seen.stdout


USAGE = [["peers", "192.0.2.7/24"], ["peers", "--limit", "0"], ["history", "a b"], ["explain", "192.0.2.7", "log"],
         ["explain", "192.0.2.7", "--since", "2026-11-21"], ["status", "x"], ["waivers", "--failing"],
         ["status", "--config", "/nowhere/mailtls.toml"], ["peers", "x" * 300]]  # fmt: skip


@pytest.mark.parametrize("arguments", USAGE, ids=str)
def test_wrong_usage_is_one_sentence_and_exit_status_2(arguments: list[str], world: World) -> None:
    seen = world.mailtlsctl(*arguments)
    assert seen.returncode == 2
    assert SENTENCE.fullmatch(seen.stderr)
    assert seen.stdout == ""


def test_the_configuration_may_be_named(world: World) -> None:
    with world.running():
        seen = world.mailtlsctl("status", "--config", str(world.config), MAILTLS_CONFIG="/nowhere/x")
    assert seen.returncode == 0
