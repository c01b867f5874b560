"""The keeper's tables as a real smtpd reads them, beside the operator's own, and while the keeper is killed."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.service.keeperhouse import KeeperHouse, grant

from .configuration import Settings
from .conversation import Conversation, Server
from .instance import PrivatePostfix

KILLS = 50


class Site:
    """A Postfix whose port-25 service has our tables before the operator's own, and a keeper that knows of both."""

    def __init__(self, keywords: str = "", own: str = "") -> None:
        self._keywords, self._own = keywords, own

    def __enter__(self) -> Site:
        words = ", ".join(f'"{word}"' for word in self._keywords.split())
        maps = f"discard_maps = ['{self._own}']\n" if self._own else ""
        self.house = KeeperHouse(f"discard_keywords = [{words}]\n{maps}")
        assert self.house.run("--ensure-tables").returncode == 0
        tables = ",".join((*self.house.names, *([self._own] if self._own else [])))
        wanted = {"smtpd_discard_ehlo_keyword_address_maps": tables, "smtpd_discard_ehlo_keywords": self._keywords}
        # Braces for master(5), where values hold spaces; doubled, because Settings fills in the directory.
        options = tuple(
            f"{{ {name} = {value} }}".replace("{", "{{").replace("}", "}}") for name, value in wanted.items()
        )
        self.postfix = PrivatePostfix(Settings(options={"smtp": options}))
        self.postfix.__enter__()
        self.keeper = self.house.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.house.__exit__()
        self.postfix.__exit__(None, None, None)

    def offers(self, address: str, *asked: str) -> list[bool]:
        """Greet from this address, and tell which of these keywords are announced to it."""
        with Conversation(address, Server(self.postfix.address, self.postfix.ports["smtp"])) as conversation:
            conversation.greet()
            conversation.quit()
        return [keyword in conversation.keywords for keyword in asked]


BOTH = ("STARTTLS", "CHUNKING")


def test_what_postfix_hides_from_everybody_stays_hidden_from_a_waived_peer_and_all_is_restored() -> None:
    """A match replaces smtpd_discard_ehlo_keywords, it does not merge (facts 11.3): the value has to repeat them."""
    with Site("chunking silent-discard") as site:
        assert site.offers("127.7.0.1", *BOTH) == [True, False]
        assert site.house.ask(grant("127.7.0.1")).live
        assert site.offers("127.7.0.1", *BOTH) == [False, False]
        assert site.offers("127.7.0.2", *BOTH) == [True, False]
        assert any("discarding EHLO keywords: STARTTLS" in line for line in site.postfix.lines()), "not silently"
        assert site.house.ask({"op": "withdraw", "network": "127.7.0.1"}).live
        assert site.offers("127.7.0.1", *BOTH) == [True, False]


def test_the_operators_own_entry_of_a_waived_peer_is_kept_and_restored() -> None:
    with Site("dsn", own="inline:{127.7.0.1=chunking}") as site:
        keywords = ("STARTTLS", "CHUNKING", "DSN")
        assert site.offers("127.7.0.1", *keywords) == [True, False, True]
        assert site.house.ask(grant("127.7.0.1")).live
        assert site.offers("127.7.0.1", *keywords) == [False, False, False], "what is hidden from everybody, too"
        assert site.house.ask({"op": "withdraw", "network": "127.7.0.1"}).live
        assert site.offers("127.7.0.1", *keywords) == [True, False, True]


def test_the_operators_entries_inside_a_waived_network_are_kept_and_restored(tmp_path: Path) -> None:
    own = tmp_path / "own.cidr"
    own.write_text("127.7.0.1 chunking\n127.7.0.64/26 dsn\n")
    with Site(own=f"cidr:{own}") as site:
        keywords = ("STARTTLS", "CHUNKING", "DSN")
        before = {ip: site.offers(ip, *keywords) for ip in ("127.7.0.1", "127.7.0.2", "127.7.0.65", "127.7.1.1")}
        assert site.house.ask(grant("127.7.0.0/24")).live
        for ip, (_, *others) in before.items():
            assert site.offers(ip, *keywords) == [not ip.startswith("127.7.0."), *others], ip
        assert site.house.ask({"op": "withdraw", "network": "127.7.0.0/24"}).live
        assert {ip: site.offers(ip, *keywords) for ip in before} == before
        assert not any("reload" in line for line in site.postfix.lines())


@contextmanager
def looping(site: Site, wrong: list[str]) -> Iterator[list[int]]:
    """A real client that greets all the time from a waived and from another address."""
    over, count = threading.Event(), [0]

    def loop() -> None:
        while not over.is_set():
            for address, expected in (("127.7.0.1", False), ("127.7.0.2", True)):
                try:
                    (offered,) = site.offers(address, "STARTTLS")
                except Exception as error:  # noqa: BLE001 - whatever a client may meet is what this test is about
                    wrong.append(f"{address}: {type(error).__name__}: {error}")
                else:
                    count[0] += 1
                    if offered is not expected:
                        wrong.append(f"{address}: STARTTLS {offered}")

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_keeper_killed_fifty_times_never_shows_a_client_421() -> None:
    """Killed at random moments of changes to both tables; whoever connects meets valid ones, and the same answer."""
    draw, wrong = random.Random(5), list[str]()
    with Site() as site:
        assert site.house.ask(grant("127.7.0.1")).live
        with looping(site, wrong) as count:
            for turn in range(KILLS):
                _asked_and_killed(site, turn, draw)
        assert wrong == []
        assert count[0] > 100
        assert not [line for line in site.postfix.lines() if " 421 " in line or "unavailable" in line]
        assert "127.7.0.1" in {waiver.network for waiver in site.house.ask({"op": "list"}).waivers}


def _asked_and_killed(site: Site, turn: int, draw: random.Random) -> None:
    """Kill the keeper somewhere in the work for three requests, and start it again."""
    asking = threading.Thread(target=_ask_in_vain, args=(site, turn))
    asking.start()
    try:
        site.keeper.wait(draw.uniform(0, 0.06))
    except subprocess.TimeoutExpired:
        site.house.kill(site.keeper)
    asking.join()
    site.keeper = site.house.start()


def _ask_in_vain(site: Site, turn: int) -> None:
    requests = (
        grant(f"127.7.9.{turn}"), grant(f"127.7.{100 + turn}.0/24"),
        {"op": "withdraw", "network": f"127.7.{99 + turn}.0/24"},
    )  # fmt: skip
    with suppress(OSError):  # the keeper is killed
        site.house.ask(*requests)
