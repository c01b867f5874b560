"""What a peer has proven at the strict door, and what does not undo it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailtls.core.proof import BLANK, LASTS, Proofs, Standing
from mailtls.core.tlsversion import TLS10, TLS12, TLS13
from mailtls.core.verdict import Proof

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
IP = "192.0.2.7"
WEAK = [None, TLS10]


def came(proofs: Proofs, *versions: int | None, ip: str = IP, at: datetime = NOW) -> bool:
    """Let sessions come, each from a port of its own; tell whether the last one changed what is proven."""
    changed = False
    for number, version in enumerate(versions):
        port = (int(at.timestamp()) + number) % 60_000
        _, changed = proofs.take(ip, version, port, at + timedelta(seconds=number))
    return changed


def test_so_many_sessions_are_proof_and_the_last_of_them_says_so() -> None:
    proofs = Proofs(3)
    assert not came(proofs, TLS13, TLS13)
    assert proofs.proven(NOW) == {}
    assert came(proofs, TLS12, at=NOW + timedelta(hours=1))
    assert proofs.proven(NOW) == {IP: Proof(3, TLS12)}
    assert not came(proofs, TLS12, at=NOW + timedelta(hours=2)), "nothing new"
    assert not came(proofs, TLS13, at=NOW + timedelta(hours=3)), "another version is no news: it is as good a proof"
    assert proofs.proven(NOW) == {IP: Proof(5, TLS13)}, "and is known all the same"


@pytest.mark.parametrize("weak", WEAK)
def test_before_it_is_complete_a_weaker_session_begins_it_anew(weak: int | None) -> None:
    proofs = Proofs(3)
    came(proofs, TLS13, TLS13, weak, TLS13, TLS13)
    assert proofs.proven(NOW) == {}


@pytest.mark.parametrize("weak", WEAK)
def test_nobody_on_the_path_wears_a_proof_off(weak: int | None) -> None:
    proofs = Proofs(3)
    came(proofs, TLS13, TLS13, TLS13)
    came(proofs, *[weak] * 100, at=NOW + timedelta(hours=1))
    assert proofs.proven(NOW) == {IP: Proof(3, TLS13)}


def test_messages_of_one_session_are_one_session() -> None:
    proofs = Proofs(2)
    for seconds in (0, 100, 200):
        proofs.take(IP, TLS13, 4000, NOW + timedelta(seconds=seconds))
    assert proofs.proven(NOW) == {}
    proofs.take(IP, TLS13, None, NOW + timedelta(seconds=210))
    assert proofs.proven(NOW) == {}, "without a port, what comes at once is one session"
    proofs.take(IP, TLS13, None, NOW + timedelta(seconds=300))
    assert proofs.proven(NOW) != {}


def test_a_proof_is_over_some_time_after_the_last_good_session() -> None:
    proofs = Proofs(2)
    came(proofs, TLS13, TLS13)
    assert proofs.proven(NOW + LASTS) != {}
    late = NOW + LASTS + timedelta(minutes=1)
    assert proofs.proven(late) == {}
    came(proofs, TLS13, at=late)
    assert proofs.proven(late) == {}, "it begins anew"
    assert came(proofs, TLS13, at=late + timedelta(hours=1))


def test_what_is_remembered_does_not_undo_what_is_known() -> None:
    proofs = Proofs(2)
    came(proofs, TLS13)
    proofs.recall(IP, Standing(50, TLS12, NOW))
    proofs.recall("192.0.2.8", Standing(50, TLS12, NOW))
    assert proofs.proven(NOW) == {"192.0.2.8": Proof(50, TLS12)}


def test_another_number_counts_for_everybody_at_once() -> None:
    proofs = Proofs(20)
    came(proofs, *[TLS13] * 5)
    proofs.ask_for(5)
    assert proofs.needed == 5
    assert IP in proofs.proven(NOW)
    proofs.ask_for(6)
    assert proofs.proven(NOW) == {}


def test_a_flood_of_strangers_pushes_out_nobody_who_has_proven_it() -> None:
    proofs = Proofs(2, room=10)
    came(proofs, TLS13, TLS13)
    for number in range(1000):
        came(proofs, TLS13, ip=f"10.0.{number // 250}.{number % 250}")
    assert list(proofs.proven(NOW)) == [IP]
    assert proofs.take("10.0.0.1", TLS13, 1, NOW)[0].sessions == 1, "who was not heard of for longest has left"


def test_a_weak_stranger_leaves_no_trace() -> None:
    assert Proofs(2).take(IP, None, 1, NOW) == (BLANK, False)
