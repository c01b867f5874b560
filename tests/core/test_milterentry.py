"""How master.cf names the milter: in front of the site's own, and with a door's name where it is a door."""

from __future__ import annotations

import pytest

from mailtls.core.hook import Hooks, strict_hooks
from mailtls.core.level import Level
from mailtls.core.mapentry import Wanted, tables_of
from mailtls.core.milterentry import ELEMENT, MACRO_DEFAULTS, MILTERS, door_milter, is_ours


def test_the_element_is_one_word_that_costs_no_mail_where_nobody_answers() -> None:
    assert ELEMENT.split() == [ELEMENT] and tables_of(f"{ELEMENT},inet:127.0.0.1:11332") == (ELEMENT, "inet:127.0.0.1:11332")
    settings = dict(part.split("=") for part in ELEMENT.strip("{}").split(",")[1:])
    assert settings["default_action"] == "accept"
    assert all(settings[f"{what}_timeout"].endswith("s") for what in ("connect", "command", "content"))


@pytest.mark.parametrize(
    ("own", "milters"),
    [("", ELEMENT), ("inet:a:1", f"{ELEMENT},inet:a:1"), (" inet:a:1, unix:b, ", f"{ELEMENT},inet:a:1, unix:b")],
)
def test_a_door_tells_ours_first_and_the_sites_own_after_it(own: str, milters: str) -> None:
    assert door_milter(Level.LEGACY, {MILTERS: own})[MILTERS] == milters


@pytest.mark.parametrize(
    ("own", "defaults"),
    [("", "mailtls_door=mailtls-sslv3"), ("x=1, {y = 2}", "x=1, {y = 2},mailtls_door=mailtls-sslv3")],
)
def test_a_door_says_which_it_is_beside_the_sites_own_macros(own: str, defaults: str) -> None:
    assert door_milter(Level.SSLV3, {MACRO_DEFAULTS: own})[MACRO_DEFAULTS] == defaults


def test_ours_is_known_whatever_somebody_made_of_its_settings() -> None:
    assert is_ours(ELEMENT) and is_ours(ELEMENT.replace("5s", "50s")) and is_ours("unix:mailtls/milter/socket")
    assert not is_ours("unix:mailtls/policy") and not is_ours("inet:127.0.0.1:11332")


def test_the_milter_is_a_hook_of_its_own_beside_the_policy_service() -> None:
    heard = Wanted("smtp/inet", MILTERS, (ELEMENT,), "inet:a:1")
    assert strict_hooks(Hooks(milter=True), "smtp/inet", {MILTERS: "inet:a:1"}) == (heard,)
    both = strict_hooks(Hooks("unix:mailtls/policy", milter=True), "smtp/inet", {MILTERS: "inet:a:1"})
    assert heard in both and len(both) > 1
    assert strict_hooks(Hooks(), "smtp/inet", {}) == ()
