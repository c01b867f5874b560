"""A probe learns what a server takes, all of it, and in the server's order; whatever the server does, it has an end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailtls.core.ciphersuite import BY_NUMBER, KeyExchange
from mailtls.core.probed import Naming, Order, Probed, Shown
from mailtls.core.probeplan import STEPS, probe_plan
from mailtls.core.probequestion import Shake, suites_of
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS10, TLS11, TLS12, TLS13

from .serverworld import CERTIFICATES, ServerWorld, follow

MODERN = {
    TLS13: (0x1302, 0x1301),
    TLS12: (0xC02B, 0xC02F, 0x009E, 0x002F),
}
OLD = {TLS10: (0x0035, 0x000A, 0x0005), SSLV3: (0x000A, 0x0005)}


def probe(world: ServerWorld, name: str | None = "mx.example.test", *, starttls: bool = True) -> Probed:
    probed = Probed()
    follow(probe_plan(probed, name, starttls=starttls), world)
    return probed


def test_versions_and_suites_are_those_of_the_server_in_its_order() -> None:
    probed = probe(ServerWorld(MODERN | OLD))
    assert {version: tuple(found.suites) for version, found in probed.versions.items() if found.offered} == MODERN | OLD
    assert probed.offered == [SSLV3, TLS10, TLS12, TLS13]
    assert {found.order for found in probed.versions.values() if found.offered} == {Order.SERVER}


def test_a_server_without_an_order_of_its_own_is_told_from_one_that_has() -> None:
    probed = probe(ServerWorld(MODERN, own_order=False))
    assert {version: set(probed.found(version).suites) for version in MODERN} == {
        version: set(suites) for version, suites in MODERN.items()
    }
    assert {probed.found(version).order for version in MODERN} == {Order.CLIENT}


def test_one_suite_has_no_order() -> None:
    assert probe(ServerWorld({TLS12: (0x002F,)})).found(TLS12).order is Order.ONE


def test_how_a_version_is_refused_is_kept() -> None:
    probed = probe(ServerWorld({TLS12: (0x002F,)}))
    assert probed.found(TLS11).said == "alert 70 (protocol_version)"
    assert probed.found(SSLV2).said == "closes the connection"
    assert probed.found(TLS11).offered is False


def test_a_server_that_answers_with_an_older_version_does_not_offer_the_newer_one() -> None:
    probed = probe(ServerWorld({TLS10: (0x002F,)}))
    assert probed.offered == [TLS10]
    assert probed.found(TLS12).said == "answers with TLSv1"


def test_silence_is_no_answer_about_a_version() -> None:
    probed = probe(ServerWorld(MODERN, mute=(TLS11,)))
    assert probed.found(TLS11).offered is None
    assert probed.found(TLS11).said == "no whole answer came within 5 s"


def test_silence_about_ssl_3_is_a_no() -> None:
    assert probe(ServerWorld(MODERN, mute=(SSLV3,))).found(SSLV3).offered is False


def test_a_server_that_minds_long_hellos_is_asked_in_lots() -> None:
    probed = probe(ServerWorld(MODERN | {TLS12: suites_of(TLS12)[::5]}, longest=48))
    assert set(probed.found(TLS12).suites) == set(suites_of(TLS12)[::5])


@pytest.mark.parametrize("own_order", [False, True])
@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("rude", [False, True])
def test_suites_that_a_server_chooses_and_cannot_do_hide_no_others(place: int, own_order: bool, rude: bool) -> None:
    good = (0xC02B, 0xC02F, 0xC030, 0x002F)
    both = (*good[:place], 0x009E, 0x0033, *good[place:])
    probed = probe(ServerWorld({TLS12: both}, broken=(0x009E, 0x0033), rude=rude, own_order=own_order))
    assert probed.offered == [TLS12]
    found = probed.found(TLS12).suites
    assert (tuple(found) if own_order else set(found)) == (good if own_order else set(good))


def test_a_server_that_hangs_up_instead_of_an_alert_is_asked_a_little_more() -> None:
    polite, rude = ServerWorld(MODERN), ServerWorld(MODERN, rude=True)
    assert probe(rude).found(TLS12).suites == probe(polite).found(TLS12).suites
    assert len(rude.asked) < len(polite.asked) + 30


def test_ssl_2_is_found_with_its_suites() -> None:
    probed = probe(ServerWorld(OLD, sslv2=(0x0700C0, 0x020080)))
    assert probed.found(SSLV2).offered
    assert probed.found(SSLV2).suites == [0x0700C0, 0x020080]


def test_certificates_are_asked_for_by_kind() -> None:
    probed = probe(ServerWorld(MODERN))
    assert probed.certificates == [
        Shown(KeyType.ECDSA, TLS12, (CERTIFICATES[KeyType.ECDSA],)),
        Shown(KeyType.RSA, TLS12, (CERTIFICATES[KeyType.RSA],)),
    ]


@pytest.mark.parametrize("kind", KeyType)
def test_of_a_server_with_one_kind_only_that_is_found(kind: KeyType) -> None:
    assert probe(ServerWorld(MODERN, kinds=(kind,))).certificates == [Shown(kind, TLS12, (CERTIFICATES[kind],))]


def test_where_only_tls_1_3_is_offered_the_certificate_comes_from_a_handshake() -> None:
    world = ServerWorld({TLS13: (0x1301,)}, kinds=(KeyType.ECDSA,))
    assert probe(world).certificates == [Shown(KeyType.ECDSA, TLS13, (CERTIFICATES[KeyType.ECDSA],))]


def test_of_two_that_tls_1_3_hides_none_is_guessed() -> None:
    shown = probe(ServerWorld({TLS13: (0x1301,)})).certificates
    assert shown == [Shown(KeyType.ECDSA, TLS13), Shown(KeyType.RSA, TLS13)]


def test_groups_are_found_up_to_tls_1_2_and_in_tls_1_3() -> None:
    probed = probe(ServerWorld(MODERN, groups=(0x0017, 0x001E, 0x001D)))
    assert probed.groups == {TLS13: [0x0017, 0x001E, 0x001D], TLS12: [0x0017, 0x001E, 0x001D]}
    assert probed.groups_whole == {TLS12, TLS13}


def test_a_server_that_never_asks_for_a_key_gets_one() -> None:
    usual, rigid = ServerWorld(MODERN), ServerWorld(MODERN, wants_key=True)
    one, other = probe(usual), probe(rigid)
    assert other.found(TLS13) == one.found(TLS13)
    assert set(other.groups[TLS13]) == set(usual.groups)
    assert len(rigid.asked) < 2 * len(usual.asked)


@pytest.mark.parametrize("own_order", [False, True])
def test_where_the_curve_of_the_certificate_is_needed_the_others_are_found_as_far_as_can_be(own_order: bool) -> None:
    """A server that insists on its own order chooses its first curve whatever is offered beside it."""
    groups = (0x0018, 0x001D, 0x0017, 0x0019)
    world = ServerWorld(
        {TLS12: (0xC02B,)}, kinds=(KeyType.ECDSA,), groups=groups, curve=0x0017, own_order=own_order
    )
    probed = probe(world)
    assert set(probed.groups[TLS12]) == ({0x0018, 0x001D, 0x0017} if own_order else set(groups))
    assert (TLS12 in probed.groups_whole) is not own_order


def test_the_smallest_prime_is_kept_and_those_without_a_certificate_do_not_count() -> None:
    assert probe(ServerWorld(MODERN, prime_bits=1024)).prime_bits == 1024
    assert probe(ServerWorld({TLS12: (0x009E, 0x0034)}, prime_bits=2048)).prime_bits == 2048
    assert probe(ServerWorld({TLS12: (0x002F,)})).prime_bits is None


def test_tickets_are_told_by_version() -> None:
    assert probe(ServerWorld(MODERN)).tickets == {TLS12: True, TLS13: True}


OTHER = b"another certificate"


@pytest.mark.parametrize(
    ("by_name", "refuses", "naming"),
    [
        ({}, False, Naming.IGNORED),
        ({"mx.example.test": OTHER}, False, Naming.CHOOSES),
        ({"mx.example.test": CERTIFICATES[KeyType.ECDSA]}, True, Naming.REFUSES_UNKNOWN),
    ],
)
def test_what_a_name_changes_is_found(by_name: dict[str, bytes], refuses: bool, naming: Naming) -> None:
    assert probe(ServerWorld(MODERN, by_name=by_name, refuses_names=refuses)).naming is naming


def test_without_a_name_only_the_unknown_one_is_tried() -> None:
    assert probe(ServerWorld(MODERN), name=None).naming is Naming.IGNORED


@pytest.mark.parametrize("obeys", [False, True])
def test_a_command_behind_starttls_is_tried_where_there_is_starttls(obeys: bool) -> None:
    assert probe(ServerWorld(MODERN, obeys=obeys)).obeyed is obeys
    assert probe(ServerWorld(MODERN, obeys=obeys), starttls=False).obeyed is None


def test_a_server_without_tls_that_a_library_speaks_gets_no_handshake() -> None:
    world = ServerWorld({SSLV3: (0x0005,)})
    assert probe(world).obeyed is None
    assert not [question for question in world.asked if isinstance(question, Shake)]


def test_a_probe_of_a_usual_server_takes_few_connections() -> None:
    world = ServerWorld(MODERN)
    probe(world)
    assert len(world.asked) < 45


def test_each_question_names_one_of_the_steps() -> None:
    world = ServerWorld(MODERN | OLD)
    probe(world)
    steps = list(dict.fromkeys(question.step for question in world.asked))
    assert steps == list(STEPS)


worlds = st.builds(
    ServerWorld,
    st.dictionaries(
        st.sampled_from((SSLV3, TLS10, TLS11, TLS12)),
        st.lists(st.sampled_from(suites_of(TLS12)), min_size=1, max_size=30, unique=True).map(tuple),
    ),
    groups=st.lists(st.sampled_from((0x1D, 0x17, 0x18, 0x19)), min_size=1, unique=True).map(tuple),
    own_order=st.booleans(),
)


@given(worlds)
@settings(max_examples=60, deadline=None)
def test_whatever_a_server_takes_is_found_and_nothing_else(world: ServerWorld) -> None:
    probed = probe(world)
    for version, suites in world.versions.items():
        taken = {number for number in suites if BY_NUMBER[number].serves(version)}
        if version == SSLV3:
            taken = {number for number in taken if BY_NUMBER[number].key_exchange is not KeyExchange.ECDHE}
        assert set(probed.found(version).suites) == taken
