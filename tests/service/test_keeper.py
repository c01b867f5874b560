"""The keeper's rounds: what is asked, judged, written, built and proved, with a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.edge.tables import needs, unchanged
from tests.service.keeperhouse import PATIENCE_S, KeeperHouse, automatic, grant
from tests.tabletypes import KIND

from mailtls.core.keeperprotocol import Grant, ListWaivers, Renew, Reply, Step, Withdraw
from mailtls.core.objection import Kind, Requester
from mailtls.errors import PostfixError, StoreError
from mailtls.keeper import means_of
from mailtls.service.keeper import Keeper

pytestmark = [pytest.mark.postfix, needs(KIND)]

ALICE = Requester(Kind.PERSON, "alice")
DAEMON = Requester(Kind.DAEMON, "mailtlsd")

COPIER = """
[[peer]]
network = "{network}"
level = "{level}"
reason = "Copier"
owner = "office-it"
until = {until}
"""


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class Case:
    """A keeper in this process. `do` runs requests while it works."""

    def __init__(self, house: KeeperHouse) -> None:
        self.house = house
        self.clock = Clock()
        self.begin()

    def begin(self) -> None:
        """Begin anew, as after a restart."""
        self.means = means_of(self.house.config)
        self.keeper = Keeper(self.means, self.clock)
        self.runner = asyncio.Runner()
        self.runner.run(self.keeper.round())

    def end(self) -> None:
        self.runner.close()
        self.means.ledger.close()

    def restart(self) -> None:
        self.end()
        self.begin()

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def both() -> Any:
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
                running = group.create_task(self.keeper.run())
                worked = await group.create_task(work())
                running.cancel()
            return worked

        return self.runner.run(both())

    def ask(self, request: dict[str, Any], who: Requester = ALICE) -> Reply:
        kinds = {"grant": Grant, "renew": Renew, "withdraw": Withdraw}
        model = kinds[request["op"]].model_validate(request)
        reply: Reply = self.do(lambda: self.keeper.change(who, model))
        return reply

    def round(self) -> None:
        self.keeper._compared = float("-inf")
        self.runner.run(self.keeper.round())

    def steps(self) -> list[tuple[Step, str, str]]:
        return [(each.step, each.waiver.network, each.by) for each in self.keeper.events(0, 1000)]

    def faults(self) -> dict[str, str]:
        return {fault.kind: fault.sentence for fault in self.keeper.health().faults}


@pytest.fixture
def house() -> Iterator[KeeperHouse]:
    with KeeperHouse() as house:
        yield house


@pytest.fixture
def case(house: KeeperHouse) -> Iterator[Case]:
    case = Case(house)
    yield case
    case.end()


def test_a_grant_is_answered_when_a_look_up_proves_it(case: Case) -> None:
    reply = case.ask(grant())
    assert reply.ok
    assert reply.live
    assert reply.milliseconds is not None
    assert reply.milliseconds > 0
    assert reply.waiver is not None
    assert case.house.looked_up("192.0.2.7", "192.0.2.8") == {"192.0.2.7": "starttls"}


def test_a_withdrawal_is_answered_when_a_look_up_finds_nothing(case: Case) -> None:
    case.ask(grant())
    reply = case.ask({"op": "withdraw", "network": "192.0.2.7"})
    assert (reply.ok, reply.live) == (True, True)
    assert reply.waiver is not None
    assert case.house.looked_up("192.0.2.7") == {}
    assert case.steps() == [(Step.GRANTED, "192.0.2.7", "alice"), (Step.WITHDRAWN, "192.0.2.7", "alice")]


def test_a_network_is_waived_through_the_cidr_table(case: Case) -> None:
    assert case.ask(grant("192.0.2.16/28")).live
    assert case.house.looked_up("192.0.2.16", "192.0.2.31", "192.0.2.32") == {
        "192.0.2.16": "starttls", "192.0.2.31": "starttls",
    }  # fmt: skip


def test_one_may_ask_for_what_has_to_do_with_a_peer_alone(case: Case) -> None:
    for name, network in (("a", "192.0.2.16/28"), ("b", "192.0.2.17"), ("c", "192.0.2.32"), ("d", "2001:db8::17")):
        case.ask(grant(network, id=name))
    about = {
        peer: [waiver.id for waiver in case.keeper.listed(ListWaivers(about=peer)).waivers]
        for peer in ("192.0.2.17", "192.0.2.0/24", "::ffff:192.0.2.32", "203.0.113.1")
    }
    assert about == {
        "192.0.2.17": ["b", "a"], "192.0.2.0/24": ["a", "b", "c"], "::ffff:192.0.2.32": ["c"], "203.0.113.1": [],
    }  # fmt: skip
    assert len(case.keeper.listed(ListWaivers()).waivers) == 4
    refused = case.keeper.listed(ListWaivers(about="192.0.2.1/24"))
    assert (refused.ok, refused.waivers) == (False, ())
    assert "192.0.2.1/24" in (refused.refused or "")


def test_what_is_tried_only_is_judged_and_changes_nothing(case: Case) -> None:
    reply = case.ask(grant(dry_run=True))
    assert (reply.ok, reply.live) == (True, False)
    assert not case.ask(grant(level="sslv3", dry_run=True)).ok
    assert case.keeper.standing() == ()
    assert case.ask(grant()).waiver is not None, "the id is free"


def test_a_second_grant_of_a_person_replaces_the_first(case: Case) -> None:
    case.ask(grant())
    assert case.ask(grant(id="other", reason="new")).live
    assert [waiver.id for waiver in case.keeper.standing()] == ["other"]
    assert [step for step, *_ in case.steps()] == [Step.GRANTED, Step.WITHDRAWN, Step.GRANTED]
    assert case.keeper.register.revoked == {}


def test_a_grant_is_repeated_without_effect_also_after_a_restart(case: Case) -> None:
    first = case.ask(grant())
    case.restart()
    again = case.ask(grant())
    assert (again.ok, again.live, again.waiver) == (True, True, first.waiver)
    assert len(case.steps()) == 1


def test_a_renewal_moves_the_end_and_is_repeated_without_effect(case: Case) -> None:
    made = case.ask(automatic(), DAEMON).waiver
    assert made is not None
    case.clock.now += timedelta(days=20)
    renew = {"op": "renew", "id": made.id, "generation": 1, "until": (case.clock.now + timedelta(days=30)).isoformat()}
    first, second = case.ask(renew, DAEMON), case.ask(renew, DAEMON)
    assert first.ok
    assert first.waiver is not None
    assert first.waiver.generation == 2
    assert second.waiver == first.waiver
    assert [step for step, *_ in case.steps()] == [Step.GRANTED, Step.RENEWED]


def test_a_withdrawal_is_repeated_without_effect(case: Case) -> None:
    case.ask(automatic(), DAEMON)
    withdraw = {"op": "withdraw", "id": "policy-192.0.2.7", "why": "outgrown\x1b[2J"}
    assert case.ask(withdraw, DAEMON).live
    assert case.ask(withdraw, DAEMON).live
    assert len(case.steps()) == 2
    assert case.keeper.events(0, 9)[1].why == "outgrown?[2J"


def test_many_requests_at_once_are_few_builds(case: Case) -> None:
    builds = []
    put = case.means.remedies.cleartext.tables.put
    case.means.remedies.cleartext.tables.put = lambda wanted: builds.append(len(wanted.hosts)) or put(wanted)  # type: ignore[method-assign,func-returns-value]

    async def many() -> list[Reply]:
        asked = (Grant.model_validate(grant(f"192.0.2.{number}")) for number in range(1, 101))
        return await asyncio.gather(*(case.keeper.change(ALICE, each) for each in asked))

    replies = case.do(many)
    assert all(reply.live for reply in replies)
    assert len(builds) <= 3
    assert len(case.keeper.standing()) == 100


def test_the_quota_holds_for_requests_that_come_at_once(case: Case) -> None:
    async def many() -> list[Reply]:
        asked = (Grant.model_validate(automatic(f"192.0.2.{number}")) for number in range(1, 31))
        return await asyncio.gather(*(case.keeper.change(DAEMON, each) for each in asked))

    replies = case.do(many)
    assert [reply.ok for reply in replies] == [True] * 20 + [False] * 10
    assert "limits.per_day" in (replies[-1].refused or "")


# --- expiry ------------------------------------------------------------------------------------------------------


def test_a_waiver_ends_by_itself_at_its_end(case: Case) -> None:
    case.ask(grant(until=(case.clock.now + timedelta(hours=1)).isoformat()))
    case.clock.now += timedelta(hours=1)

    async def expired() -> None:
        while case.keeper.standing():
            await case.keeper.news()

    case.do(expired)
    assert case.house.looked_up("192.0.2.7") == {}
    assert case.steps()[-1] == (Step.EXPIRED, "192.0.2.7", "clock")


def test_what_ended_while_no_keeper_ran_is_ended_at_its_start(case: Case) -> None:
    case.ask(grant(until=(case.clock.now + timedelta(hours=1)).isoformat()))
    case.clock.now += timedelta(days=1)
    case.restart()
    assert case.house.looked_up("192.0.2.7") == {}
    assert case.keeper.standing() == ()


def test_a_waiver_that_cannot_be_written_as_ended_is_out_of_the_tables_all_the_same(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.ask(grant(until=(case.clock.now + timedelta(hours=1)).isoformat()))
    case.clock.now += timedelta(days=1)
    monkeypatch.setattr(case.means.ledger, "append", full_disk(case))
    case.round()
    assert case.house.looked_up("192.0.2.7") == {}
    assert "no space left" in case.faults()["ledger"]


# --- what goes wrong ---------------------------------------------------------------------------------------------


def full_disk(case: Case) -> Callable[[object], None]:
    ledger = case.means.ledger

    def append(_: object) -> None:
        ledger._read()
        raise StoreError("/x/ledger: no space left on device; nothing was changed, free some space there")

    return append


def test_what_cannot_be_written_did_not_happen(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(case.means.ledger, "append", full_disk(case))
        reply = case.ask(grant())
    assert not reply.ok
    assert "no space left on device" in (reply.refused or "")
    assert case.keeper.standing() == ()
    assert case.house.looked_up("192.0.2.7") == {}
    assert case.steps() == []
    assert case.ask(grant()).live
    assert case.faults() == {}


def test_what_cannot_be_brought_into_the_tables_is_not_live_and_tried_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> bool:
        raise PostfixError("/x/discard.new.lmdb: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(case.means.remedies.cleartext.tables, "put", full)
        reply = case.ask(grant())
    assert (reply.ok, reply.live, reply.milliseconds) == (True, False, None)
    assert "no space left" in case.faults()["tables"]
    assert not case.keeper.is_right()

    async def mended() -> None:
        while case.faults():  # noqa: ASYNC110 - nobody is told when a fault is gone
            await asyncio.sleep(0.02)

    case.do(mended)
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}


def test_tables_that_somebody_changed_are_mended(case: Case) -> None:
    case.ask(grant())
    case.means.remedies.cleartext.tables.hosts.unlink()
    case.round()
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}


def test_a_restart_touches_no_table_that_is_right(case: Case) -> None:
    case.ask(grant())
    before = unchanged(case.means.remedies.cleartext.tables.hosts)
    case.restart()
    assert unchanged(case.means.remedies.cleartext.tables.hosts) == before


def test_an_empty_ledger_beside_full_tables_empties_them(case: Case) -> None:
    """The list is the authority, not the tables: what nobody answers for is not let down."""
    case.ask(grant())
    case.means.ledger.path.unlink()
    case.restart()
    assert case.house.looked_up("192.0.2.7") == {}


def test_two_keepers_on_one_ledger_lose_no_change_of_each_other(case: Case) -> None:
    other = Keeper(means_of(case.house.config), case.clock)
    case.ask(grant("192.0.2.1", until=(case.clock.now + timedelta(hours=1)).isoformat()))
    case.ask(grant("192.0.2.2"))
    case.clock.now += timedelta(hours=2)
    asyncio.run(other.round())
    assert case.ask(grant("192.0.2.3")).live
    assert {waiver.network for waiver in case.keeper.standing()} == {"192.0.2.2", "192.0.2.3"}
    numbers = [event.number for event in case.keeper.events(0, 100)]
    assert numbers == [1, 2, 3, 4]
    other._means.ledger.close()


# --- the operator's own tables -----------------------------------------------------------------------------------


def own_case(house: KeeperHouse, maps: str, keywords: str = '"chunking"') -> Case:
    house.toml.write_text(house.toml.read_text() + f"discard_maps = [{maps}]\ndiscard_keywords = [{keywords}]\n")
    return Case(house)


def test_values_are_unions_with_what_postfix_hides_anyway(house: KeeperHouse) -> None:
    case = own_case(house, '"inline:{192.0.2.7=dsn}"', '"chunking", "silent-discard"')
    case.ask(grant("192.0.2.7"))
    case.ask(grant("192.0.2.8"))
    case.ask(grant("198.51.100.0/24"))
    found = case.house.looked_up("192.0.2.7", "192.0.2.8", "198.51.100.1")
    usual = "chunking starttls"
    assert found == {"192.0.2.7": "chunking dsn starttls", "192.0.2.8": usual, "198.51.100.1": usual}
    case.end()


def test_an_entry_that_the_operator_changes_is_followed(house: KeeperHouse) -> None:
    table = house.root / "ehlo.cidr"
    table.write_text("192.0.2.7 dsn\n")
    case = own_case(house, f'"cidr:{table}"')
    case.ask(grant())
    table.write_text("192.0.2.0/24 pipelining, dsn\n")
    case.round()
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "chunking pipelining dsn starttls"}
    case.end()


def test_while_an_own_table_is_broken_the_old_stand_the_new_wait_and_the_over_end(house: KeeperHouse) -> None:
    table = house.root / "ehlo.cidr"
    table.write_text("192.0.2.7 dsn\n")
    case = own_case(house, f'"cidr:{table}"')
    case.ask(grant("192.0.2.7"))
    case.ask(grant("192.0.2.8", until=(case.clock.now + timedelta(hours=1)).isoformat()))
    table.unlink()
    case.clock.now += timedelta(hours=2)
    reply = case.ask(grant("192.0.2.9"))
    assert (reply.ok, reply.live) == (True, False)
    assert "ehlo.cidr" in case.faults()["own_tables"]
    assert case.house.looked_up("192.0.2.7", "192.0.2.8", "192.0.2.9") == {"192.0.2.7": "chunking dsn starttls"}
    table.write_text("192.0.2.9 xyz\n")
    case.round()
    assert case.faults() == {}
    assert case.house.looked_up("192.0.2.7", "192.0.2.9") == {
        "192.0.2.7": "chunking starttls", "192.0.2.9": "chunking xyz starttls",
    }  # fmt: skip
    case.end()


def test_a_network_beside_a_table_that_cannot_be_listed_is_refused(house: KeeperHouse) -> None:
    case = own_case(house, '"regexp:/dev/null"')
    reply = case.ask(grant("192.0.2.0/28"))
    assert "regexp:/dev/null cannot be listed" in (reply.refused or "")
    assert case.ask(grant("192.0.2.7")).live
    case.end()


def test_a_network_that_stands_is_not_live_once_such_a_table_appears(house: KeeperHouse) -> None:
    case = Case(house)
    case.ask(grant("192.0.2.0/28"))
    case.end()
    case = own_case(house, '"regexp:/dev/null"')
    assert "192.0.2.0/28: not live" in case.faults()["own_tables"]
    assert case.ask(grant("198.51.100.1")).live, "others are not held up"
    assert case.house.looked_up("192.0.2.1") == {}
    case.end()


# --- known-legacy.toml and the policy ----------------------------------------------------------------------------


def entry(network: str = "192.0.2.7", level: str = "cleartext", until: str = "2099-12-31") -> str:
    return COPIER.format(network=network, level=level, until=until)


def test_an_entry_of_the_file_is_a_waiver_while_it_stands(case: Case) -> None:
    case.house.write_known(entry())
    case.round()
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}
    assert "remove the entry" in (case.ask({"op": "withdraw", "network": "192.0.2.7"}).refused or "")
    case.house.write_known("")
    case.round()
    assert case.house.looked_up("192.0.2.7") == {}
    assert case.steps() == [
        (Step.GRANTED, "192.0.2.7", "known-legacy.toml"), (Step.WITHDRAWN, "192.0.2.7", "known-legacy.toml"),
    ]  # fmt: skip


def test_an_entry_ends_on_its_day_by_the_clock(case: Case) -> None:
    case.house.write_known(entry(until=(case.clock.now + timedelta(days=1)).date().isoformat()))
    case.round()
    case.clock.now += timedelta(days=3)
    case.round()
    case.round()
    assert case.house.looked_up("192.0.2.7") == {}
    assert [step for step, *_ in case.steps()] == [Step.GRANTED, Step.EXPIRED]


@pytest.mark.parametrize("broken", ["[[peer]]\n", "not toml", '[[peer]]\nnetwork = "10.0.0.1"\n'])
def test_a_broken_file_keeps_the_old_entries_also_over_a_restart(case: Case, broken: str) -> None:
    case.house.write_known(entry())
    case.round()
    case.house.write_known(broken)
    case.round()
    case.restart()
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}
    assert "known-legacy.toml" in case.faults()["policy"]
    assert case.ask(automatic("192.0.2.9"), DAEMON).ok, "the last good policy holds"
    case.house.write_known("")
    case.round()
    assert case.faults() == {}
    assert case.house.looked_up("192.0.2.7") == {}


def test_an_entry_of_a_level_without_a_door_is_a_fault_and_no_waiver(case: Case) -> None:
    case.house.write_known(entry(level="legacy") + entry("192.0.2.8"))
    case.round()
    assert "192.0.2.7 (legacy)" in case.faults()["not_served"]
    assert case.house.looked_up("192.0.2.7", "192.0.2.8") == {"192.0.2.8": "starttls"}


def test_a_person_may_waive_what_the_file_covers_too_wide_and_each_ends_alone(case: Case) -> None:
    case.ask(grant("192.0.2.7"))
    case.house.write_known(entry())
    case.round()
    assert case.ask({"op": "withdraw", "network": "192.0.2.7"}).live
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}, "the file's still stands"
    assert len(case.keeper.standing()) == 1


@pytest.mark.parametrize("weaken", ["policy mode", "list mode", "directory mode"])
def test_a_policy_that_others_could_have_written_is_not_followed(case: Case, weaken: str) -> None:
    path = {
        "policy mode": case.house.policies / "default.toml",
        "list mode": case.house.policies / "known-legacy.toml",
        "directory mode": case.house.policies,
    }[weaken]
    case.house.write_known(entry())
    path.chmod(0o777)
    case.round()
    assert "may be written by others" in case.faults()["policy"]
    assert case.house.looked_up("192.0.2.7") == {}
    path.chmod(0o755)
    case.house.write_known(entry())
    case.round()
    assert case.house.looked_up("192.0.2.7") == {"192.0.2.7": "starttls"}


def test_without_any_policy_persons_are_served_and_the_daemon_is_not(house: KeeperHouse) -> None:
    house.write_policy("nonsense")
    case = Case(house)
    assert "nothing is given automatically" in case.faults()["policy"]
    assert "cannot be read" in (case.ask(automatic(), DAEMON).refused or "")
    assert case.ask(grant()).live
    case.end()


def test_where_tls_is_demanded_nothing_is_hidden(house: KeeperHouse) -> None:
    house.toml.write_text(house.toml.read_text() + 'security_level = "encrypt"\n')
    house.write_known(entry())
    case = Case(house)
    assert case.house.looked_up("192.0.2.7") == {}
    assert "not_served" in case.faults()
    assert "encrypt" in (case.ask(grant("192.0.2.8")).refused or "")
    case.end()


# --- how it fares ------------------------------------------------------------------------------------------------


def test_its_health_counts_waivers_by_level_and_names_the_tables(case: Case) -> None:
    case.ask(grant())
    health = case.keeper.health()
    assert {level: count for level, count in health.waivers.items() if count} == {"cleartext": 1}
    assert health.last_event == 1
    assert health.tables == case.house.names
    assert health.faults == ()
    assert case.keeper.status_line() == "1 waivers stand"


def test_a_damaged_ledger_is_said(case: Case) -> None:
    case.ask(grant("192.0.2.1"))
    case.ask(grant("192.0.2.2"))
    content = case.means.ledger.path.read_bytes()
    case.means.ledger.path.write_bytes(content.replace(b"192.0.2.1", b"192.0.2.9", 1))
    case.restart()
    assert "damaged" in case.faults()["ledger_damaged"]
    assert case.house.looked_up("192.0.2.1", "192.0.2.2", "192.0.2.9") == {"192.0.2.2": "starttls"}


def test_it_compacts_its_ledger_in_the_course_of_things(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailtls.edge.ledger.SLACK", 3)
    monkeypatch.setattr("mailtls.core.register.KEPT_EVENTS", 2)
    for number in range(8):
        case.ask(grant(id=f"turn-{number}"))
    assert len(case.means.ledger.path.read_bytes().splitlines()) < 9
    case.restart()
    assert [waiver.id for waiver in case.keeper.standing()] == ["turn-7"]
