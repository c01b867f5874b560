"""A door is the service once more: what it keeps, what it changes, and how its entry is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailtls.core.doorcertificate import CHAIN_FILES, DoorCertificate
from mailtls.core.doorentry import (
    CLASSES,
    CLIENT_RESTRICTIONS,
    CURVES,
    DELAY_REJECT,
    KEYWORDS,
    MAPS,
    SASL,
    SNI_MAPS,
    SSL_OPTIONS,
    TURNED_AWAY,
    DoorPlan,
    Origin,
    assignment,
    differences,
    door_name,
    door_options,
    door_text,
)
from mailtls.core.level import Level
from mailtls.core.mastercf import Service, parse_master_cf
from mailtls.core.offering import EXCLUDED
from mailtls.core.secondlock import WAIVED

TABLES = ("lmdb:/t/legacy", "cidr:/t/legacy.cidr")
LEGACY, RSA = DoorPlan(Level.LEGACY, 10225, TABLES), DoorPlan(Level.LEGACY_RSA, 10125, TABLES)


def service(options: str = "", fields: str = "smtp inet n - y - 20 smtpd") -> Service:
    (found,) = parse_master_cf(f"{fields}{options}\n").services
    return found


def origin(
    options: str = "", values: dict[str, str] | None = None, written: dict[str, str] | None = None,
    fields: str = "smtp inet n - y - 20 smtpd",
) -> Origin:  # fmt: skip
    usual = {DELAY_REJECT: "yes", SASL: "no", CURVES: "X25519"}
    return Origin(service(options, fields), "smtp", {**usual, **(values or {})}, written or {}, {CURVES: "X25519"})


def entry(text: str) -> Service:
    (found,) = parse_master_cf(text + "\n").services
    return found


NAMES = [
    ("smtp", "10225"), ("25", "10225"), ("192.0.2.1:25", "192.0.2.1:10225"), ("[2001:db8::1]:smtp", "[2001:db8::1]:10225"),
    ("mx.example.org:smtp", "mx.example.org:10225"), ("[192.0.2.1]:25", "192.0.2.1:10225"),
]  # fmt: skip


@pytest.mark.parametrize(("listens", "name"), NAMES)
def test_a_door_listens_at_the_same_addresses(listens: str, name: str) -> None:
    assert door_name(listens, 10225) == name


def test_chroot_limits_filters_and_flags_are_kept_and_our_own_options_replaced() -> None:
    options = (
        " -v -o content_filter=scan:[::1]:10024\n  -o { smtpd_milters = inet:a:1,\n     inet:b:2 }\n  -osyslog_name=mx"
        " -o mynetworks=10.0.0.0/8 -o smtpd_client_connection_count_limit=5"
    )
    door = entry(door_text(origin(options), LEGACY))
    assert door.fields == ("10225", "inet", "n", "-", "y", "-", "20", "smtpd")
    assert door.argv[0] == "-v"
    kept = {"content_filter", "smtpd_milters", "smtpd_client_connection_count_limit"}
    assert {name: door.overrides[name] for name in kept} == {
        "content_filter": "scan:[::1]:10024", "smtpd_milters": "inet:a:1, inet:b:2",
        "smtpd_client_connection_count_limit": "5",
    }  # fmt: skip
    assert (door.overrides["syslog_name"], door.overrides["mynetworks"]) == ("postfix/mailtls-legacy", "")
    assert [option.name for option in door.options].count("syslog_name") == 1


def test_behind_postscreen_the_door_is_open_to_the_world_as_the_service_behind_is_not() -> None:
    behind = origin(fields="smtpd pass - - y - 10 smtpd")
    assert entry(door_text(behind, LEGACY)).fields == ("10225", "inet", "n", "-", "y", "-", "10", "smtpd")


def test_an_instance_of_postmulti_keeps_its_own_name_in_the_log() -> None:
    assert door_options(replace(origin(), instance="postfix-out"), RSA)["syslog_name"] == "postfix-out/mailtls-legacy-rsa"


def test_nobody_is_trusted() -> None:
    options = door_options(origin(), RSA)
    named = ("mynetworks", SASL, "smtpd_tls_ask_ccert", "smtpd_tls_req_ccert", "smtpd_authorized_xclient_hosts",
             "smtpd_authorized_xforward_hosts")  # fmt: skip
    assert [options[name] for name in named] == ["", "no", "no", "no", "", ""]


@pytest.mark.parametrize(
    "where",
    [{"smtpd_sender_restrictions": "reject_sender_login_mismatch"}, {CLASSES: "own", "own": "a, reject_sender_login_mismatch"}],
)
def test_where_senders_are_checked_against_logins_auth_is_hidden_instead_of_switched_off(where: dict[str, str]) -> None:
    options = door_options(origin(values={SASL: "yes", **where}, written={KEYWORDS: "chunking, dsn"}), RSA)
    assert SASL not in options
    assert (options[KEYWORDS], options[MAPS]) == ("chunking,dsn,auth", "")
    assert door_options(origin(values={SASL: "no", **where}), RSA)[SASL] == "no"


LOCKS = [
    # the site's own client restrictions and classes as written; the class's value, the classes
    ("", "", "permit", WAIVED),
    ("permit_mynetworks, $rbl,", "own, $more", "permit_mynetworks, $rbl, permit", f"own,$more,{WAIVED}"),
    ("check_client_access cidr:/a reject", "", "check_client_access cidr:/a reject", WAIVED),
    ("PERMIT", WAIVED, "PERMIT", WAIVED),
]


@pytest.mark.parametrize(("own", "classes", "value", "named"), LOCKS)
def test_the_tables_let_in_and_the_sites_own_restrictions_go_on_counting(
    own: str, classes: str, value: str, named: str
) -> None:
    options = door_options(origin(written={CLIENT_RESTRICTIONS: own, CLASSES: classes}), LEGACY)
    assert (options[WAIVED], options[CLASSES]) == (value, named)
    asked = [word.strip() for word in options[CLIENT_RESTRICTIONS].split(", ")]
    assert asked == [f"check_client_access {TABLES[0]}", f"check_client_access {TABLES[1]}", TURNED_AWAY]
    assert "450 4.7.1" in TURNED_AWAY
    assert DELAY_REJECT not in options


def test_a_greeting_is_always_given() -> None:
    assert door_options(origin(values={DELAY_REJECT: "no"}), LEGACY)[DELAY_REJECT] == "yes"


def test_tickets_are_never_given_and_the_sites_own_tls_options_stay() -> None:
    for written, wanted in (("", "NO_TICKET"), ("NO_RENEGOTIATION", "NO_RENEGOTIATION,NO_TICKET"), ("NO_TICKET", "NO_TICKET")):
        assert door_options(origin(written={SSL_OPTIONS: written}), RSA)[SSL_OPTIONS] == wanted


def test_legacy_rsa_changes_nothing_but_the_certificate() -> None:
    plain, shown = door_options(origin(), RSA), replace(RSA, certificate=DoorCertificate("/r.crt", "/r.key"))
    more = door_options(origin(values={CHAIN_FILES: "/e.pem", SNI_MAPS: "hash:/x"}), shown)
    assert set(more) - set(plain) == {CHAIN_FILES, SNI_MAPS}
    assert more[SNI_MAPS] == ""
    assert {name: more[name] for name in plain} == plain


def test_legacy_goes_as_low_as_openssl_does_at_either_security_level() -> None:
    lower = set(door_options(origin(), LEGACY)) - set(door_options(origin(), RSA))
    assert lower == {
        "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols", "smtpd_tls_ciphers", "smtpd_tls_mandatory_ciphers",
        "smtpd_tls_exclude_ciphers", "smtpd_tls_mandatory_exclude_ciphers", "tls_medium_cipherlist", "tls_preempt_cipherlist",
    }  # fmt: skip
    assert door_options(origin(values={EXCLUDED: "MD5, anull"}), LEGACY)[EXCLUDED] == "aNULL"
    assert door_options(origin(values={CURVES: "P-521"}), LEGACY)[CURVES] == "X25519"


def test_values_with_blanks_stand_in_braces_and_broken_ones_are_refused() -> None:
    assert assignment("a", "b,c") == "a=b,c"
    assert assignment("a", "b c {d e}") == "{ a = b c {d e} }"
    for broken in ("b }", "{ b", "b\nc"):
        with pytest.raises(ValueError, match="cannot be written"):
            assignment("a", broken)


def test_drift_says_option_by_option_what_differs() -> None:
    wanted = door_text(origin(" -o a=1 -o b=2"), LEGACY)
    assert differences(parse_master_cf(wanted + "\n"), "10225/inet", wanted) == ()
    assert differences(parse_master_cf("\n"), "10225/inet", wanted) == ("it is not there",)
    edited = wanted.replace(" -o a=1", " -o a=3").replace("\n  -o b=2", "").replace(" n - y -", " n - n -")
    assert differences(parse_master_cf(edited + "\n"), "10225/inet", wanted) == (
        "its fields are 10225 inet n - n - 20 smtpd and should be 10225 inet n - y - 20 smtpd",
        "-o a is '3' and should be '1'",
        "-o b is not there and should be '2'",
    )


# --- behind the gateway ------------------------------------------------------------------------------------------

SSLV3 = DoorPlan(Level.SSLV3, 10325, ("lmdb:/t/sslv3", "cidr:/t/sslv3.cidr"))


def test_the_gateway_s_service_is_the_same_service_at_a_socket() -> None:
    options = " -o content_filter=scan:[::1]:10024 -o smtpd_upstream_proxy_protocol= -o smtpd_tls_security_level=may"
    backend = entry(door_text(origin(options, written={CLIENT_RESTRICTIONS: "reject_rbl_client x.example"}), SSLV3))
    assert backend.fields == ("mailtls-sslv3", "unix", "n", "-", "y", "-", "20", "smtpd")
    assert {name: value for name, value in backend.overrides.items() if name not in (CLASSES, DELAY_REJECT)} == {
        "content_filter": "scan:[::1]:10024",
        "syslog_name": "postfix/mailtls-backend",
        "mynetworks": "",
        SASL: "no",
        "smtpd_tls_ask_ccert": "no",
        "smtpd_tls_req_ccert": "no",
        "smtpd_authorized_xclient_hosts": "",
        "smtpd_authorized_xforward_hosts": "",
        "smtpd_upstream_proxy_protocol": "haproxy",
        "smtpd_tls_security_level": "none",
        "smtpd_tls_wrappermode": "no",
        "smtpd_policy_service_policy_context": "mailtls-sslv3",
        WAIVED: "reject_rbl_client x.example, permit",
        CLIENT_RESTRICTIONS: (
            f"check_client_access lmdb:/t/sslv3, check_client_access cidr:/t/sslv3.cidr, {TURNED_AWAY}"
        ),
    }
