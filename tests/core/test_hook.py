"""Where Postfix asks the policy service: on the port-25 service, and at the doors."""

from __future__ import annotations

import pytest
from tests.core.test_doorentry import LEGACY, entry, origin

from mailtls.core.cause import Door
from mailtls.core.doorentry import DoorPlan, door_text
from mailtls.core.hook import CLASS, CLASSES, NO_HOOKS, STAGES, Hooks, door_hooks, endpoint, is_known_to, strict_hooks
from mailtls.core.level import Level
from mailtls.core.mapentry import put_in, take_out
from mailtls.core.mastercf import parse_master_cf

ASKING = Hooks("unix:mailtls/policy")
MASTER = [
    "smtp inet n - y - - smtpd\n",
    "smtp inet n - y - - smtpd -o content_filter=x:\n  -o smtpd_data_restrictions=reject_unauth_pipelining\n",
    "smtp inet n - y - - smtpd\n  -o { smtpd_data_restrictions = reject_unauth_pipelining, permit }\n\n# end\n",
    "smtp inet n - y - - smtpd -o smtpd_restriction_classes= -o smtpd_end_of_data_restrictions=",
]


@pytest.mark.parametrize("text", MASTER)
def test_the_hooks_stand_in_front_and_are_taken_out_byte_for_byte(text: str) -> None:
    now, insertions = text, []
    own = {CLASSES: "site_class", STAGES[0]: "site_restriction"}
    for wanted in strict_hooks(ASKING, "smtp/inet", own):
        now, inserted = put_in(now, wanted)
        insertions.append(inserted)
    service = parse_master_cf(now).find("smtp/inet")
    assert service is not None
    for name in (CLASSES, *STAGES):
        assert service.overrides[name].startswith(CLASS)
    assert "default_action=DUNNO" in service.overrides[CLASS]
    assert "reject_unauth_pipelining" not in text or "reject_unauth_pipelining" in service.overrides[STAGES[0]]
    for inserted in reversed(insertions):
        assert inserted is not None
        ours = (CLASS,) if inserted.parameter != CLASS else tuple(service.overrides[CLASS].split(","))
        now, note = take_out(now, inserted, ours)
        assert note is None
    assert now == text


def test_what_a_service_took_from_main_cf_it_goes_on_asking() -> None:
    text = MASTER[0]
    for wanted in strict_hooks(ASKING, "smtp/inet", {CLASSES: "$site", STAGES[0]: "reject_unauth_pipelining, permit"}):
        text, _ = put_in(text, wanted)
    service = parse_master_cf(text).find("smtp/inet")
    assert service is not None
    assert service.overrides[CLASSES] == f"{CLASS},$site"
    assert service.overrides[STAGES[0]] == f"{CLASS},reject_unauth_pipelining, permit"
    assert service.overrides[STAGES[1]] == CLASS


@pytest.mark.parametrize("level", [Level.LEGACY_RSA, Level.LEGACY, Level.SSLV3])
def test_a_door_asks_about_each_recipient_as_well_and_says_which_door_it_is(level: Level) -> None:
    site = origin(written={CLASSES: "own", "smtpd_recipient_restrictions": "reject_unlisted_recipient"})
    found = entry(door_text(site, DoorPlan(level, 10225, LEGACY.tables, None, ASKING))).overrides
    assert found["smtpd_recipient_restrictions"] == f"{CLASS}, reject_unlisted_recipient"
    assert found["smtpd_data_restrictions"] == CLASS
    assert found[CLASSES] == f"own,mailtls_waived,{CLASS}"
    assert f"policy_context=mailtls-{level}" in found[CLASS]


def test_without_the_policy_service_nothing_is_asked() -> None:
    assert strict_hooks(NO_HOOKS, "smtp/inet", {}) == ()
    assert door_hooks(NO_HOOKS, Door.LEGACY, {}) == {}
    assert CLASS not in door_text(origin(), LEGACY)


@pytest.mark.parametrize(
    ("queue", "socket", "listen", "said"),
    [
        ("/var/spool/postfix", "/var/spool/postfix/mailtls/policy", "", "unix:mailtls/policy"),
        ("/var/spool/postfix/", "/var/spool/postfix/mailtls/policy", "127.0.0.1:9812", "unix:mailtls/policy"),
        ("/srv/queue", "/var/spool/postfix/mailtls/policy", "127.0.0.1:9812", "inet:127.0.0.1:9812"),
        ("/srv/queue", "/var/spool/postfix/mailtls/policy", "", "unix:/var/spool/postfix/mailtls/policy"),
        ("/var/spool/post", "/var/spool/postfix/mailtls/policy", "", "unix:/var/spool/postfix/mailtls/policy"),
    ],
)
def test_a_chrooted_smtpd_finds_the_socket_from_its_queue_directory(
    queue: str, socket: str, listen: str, said: str
) -> None:
    assert endpoint(queue, socket, listen) == said


@pytest.mark.parametrize(
    ("version", "known"),
    [("3.7.11", True), ("3.1.0", True), ("3.10.5", True), ("3.12-20260805", True), ("3.0.4", False), ("2.11.3", False),
     ("", False)],
)  # fmt: skip
def test_older_versions_of_postfix_cannot_ask_safely(version: str, known: bool) -> None:
    assert is_known_to(version) is known
