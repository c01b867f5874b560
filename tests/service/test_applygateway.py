"""Whether there is an sslv3 door, whose key it shows, and what comes of starting the gateway."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mailtls.core.doorentry import Origin
from mailtls.core.gatewayrule import GatewaySettings
from mailtls.core.level import Level
from mailtls.core.mastercf import parse_master_cf
from mailtls.edge.gatewayunits import GatewayUnits
from mailtls.errors import PostfixError
from mailtls.service.applygateway import CERTIFICATE, ENTRY, KEY, GatewayMeans, doorway, remove_key

LISTENING = GatewaySettings(listen=("0.0.0.0:10325",))
ABLE = GatewayMeans(LISTENING, why_no_tls=lambda: None)


def origin(text: str = "smtp inet n - y - - smtpd", level: str = "may") -> Origin:
    (service,) = parse_master_cf(f"{text}\n").services
    return Origin(service, service.name, {"smtpd_tls_security_level": level}, {}, {})


def test_it_is_made_where_nss_can_and_somebody_starts_the_gateway() -> None:
    assert ABLE.why_none((origin(),)) is None


WHY_NONE = [
    (replace(ABLE, why_no_tls=lambda: "NSS 9 does not speak SSLv3 any more"), (origin(),), "NSS 9 does not speak SSLv3"),
    (replace(ABLE, settings=GatewaySettings()), (origin(),), "set listen in [gateway] of mailtls.toml"),
    (replace(ABLE, settings=GatewaySettings(), units=GatewayUnits(Path("/none"))), (origin(),), "no systemd runs here"),
    (ABLE, (origin(level="encrypt"),), "first set demand_tls = true"),
    (ABLE, (origin("a:25 inet n - y - - smtpd"), origin("b:25 inet n - y - - smtpd -o mynetworks=")), "services a:25 and b:25"),
]  # fmt: skip


@pytest.mark.parametrize(("means", "origins", "words"), WHY_NONE)
def test_why_there_is_none_is_a_clause(means: GatewayMeans, origins: tuple[Origin, ...], words: str) -> None:
    found = means.why_none(origins)
    assert found is not None
    assert words in found
    assert not found.endswith(".")


def test_where_tls_is_demanded_the_gateway_may_demand_it_too() -> None:
    demanding = replace(ABLE, settings=GatewaySettings(listen=LISTENING.listen, demand_tls=True))
    assert demanding.why_none((origin(level="encrypt"),)) is None


def test_services_that_differ_in_their_address_only_share_it() -> None:
    assert ABLE.why_none((origin("a:25 inet n - y - - smtpd"), origin("b:25 inet n - y - - smtpd"))) is None


def test_a_port_that_the_site_serves_itself_asks_for_nothing(tmp_path: Path) -> None:
    means = replace(ABLE, settings=GatewaySettings(), by_the_site=True, why_no_tls=lambda: "no NSS")
    assert means.why_none((origin(level="encrypt"),)) is None
    assert means.make_key(tmp_path, ("mx.example.test",)) is False
    assert means.bring_up(10325, tmp_path, renewed=False) is None
    made = doorway(10325, ("192.0.2.25",), by_the_site=True)
    assert (made.entry, made.level, made.addresses) == ("", Level.SSLV3, ("192.0.2.25",))
    assert doorway(10325, (), by_the_site=False).entry == ENTRY


def test_the_key_is_its_own_for_root_only_and_made_once(tmp_path: Path) -> None:
    own = tmp_path / "doors"
    assert ABLE.make_key(own, ("mx.example.test", "mail.example.test")) is True
    first = (own / KEY).read_bytes()
    assert ABLE.make_key(own, ("mx.example.test",)) is False
    assert (own / KEY).read_bytes() == first
    assert sorted(path.name for path in own.iterdir()) == [CERTIFICATE, KEY]
    assert {path.stat().st_mode & 0o777 for path in own.iterdir()} == {0o600}
    shown = ["openssl", "x509", "-inform", "DER", "-in", own / CERTIFICATE, "-noout", "-pubkey"]
    public = ["openssl", "pkey", "-inform", "DER", "-in", own / KEY, "-pubout"]
    answers = [subprocess.run(each, capture_output=True, check=True).stdout for each in (shown, public)]
    assert answers[0] == answers[1]
    remove_key(own)
    assert list(own.iterdir()) == []
    remove_key(own)


def test_a_key_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PostfixError, match="not a directory"):
        ABLE.make_key(tmp_path / "file" / "doors", ("mx.example.test",))


def test_what_systemd_cannot_do_is_a_note_and_no_failure_of_setup(tmp_path: Path) -> None:
    (tmp_path / "mailtls-gateway.socket").touch()
    broken = replace(ABLE, units=GatewayUnits(tmp_path, (str(tmp_path),), "/bin/false"))
    up, down = broken.bring_up(10325, Path("/var/spool/postfix"), renewed=True), broken.take_down()
    assert up is not None and up.startswith("The gateway is not started, and its door stays closed: systemctl")
    assert down is not None and down.startswith("The gateway is not stopped: systemctl")
