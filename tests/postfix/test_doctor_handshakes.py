"""`mailtlsctl doctor --handshakes` on a private Postfix: what is predicted is what comes, and a difference is a finding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .certificates import KeyType
from .configuration import Settings
from .doors_world import DoorWorld
from .instance import PrivatePostfix, why_not
from .netns import network, why_no_namespaces

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

HELLOS = 150
KINDS = {
    "ECDSA only": (KeyType.ECDSA,),
    "RSA only": (KeyType.RSA,),
    "both": (KeyType.RSA, KeyType.ECDSA),
}


def run(postfix: PrivatePostfix, *more: str, way: str = "smtp") -> subprocess.CompletedProcess[str]:
    """Ask as an operator would, of one service of this instance."""
    service = f"{postfix.address}:{postfix.ports[way]}"
    command = [sys.executable, "-m", "mailtls.ctl", "doctor", "--handshakes", "--config-dir", str(postfix.configuration),
               "--service", service, *more]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def page(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("port_logging", [True, False], ids=["ports logged", "ports not logged"])
def test_every_hello_is_answered_as_predicted(kinds: str, port_logging: bool) -> None:
    """At a site that shows ECDSA, RSA, or both; the reasons in the log included."""
    with PrivatePostfix(Settings(key_types=KINDS[kinds], protocols=">=TLSv1", port_logging=port_logging)) as postfix:
        done = run(postfix, "--count", str(HELLOS), "--json")
        found = page(done)
        assert (done.returncode, found["tried"], found["agreed"], found["misses"]) == (0, HELLOS, HELLOS, [])
        assert found["log"] == str(postfix.log), "the reasons were compared, too"
        (service,) = found["services"]
        assert service["certificates"] == [kind.name for kind in KINDS[kinds]]
        outcomes = {row["outcome"]: row["tried"] for row in service["outcomes"]}
        assert sum(n for outcome, n in outcomes.items() if outcome.startswith("accepted")) > HELLOS // 10
        for kind in KeyType:
            assert (f"accepted with an {kind.name} certificate" in outcomes) == (kind in KINDS[kinds]), outcomes


def test_a_hardened_service_with_tls_at_once_is_asked_without_starttls() -> None:
    options = {"smtps": ("smtpd_tls_mandatory_ciphers=high", "smtpd_tls_mandatory_exclude_ciphers=aNULL,kRSA,SHA1",
                         "tls_eecdh_auto_curves=prime256v1", "tls_preempt_cipherlist=yes")}  # fmt: skip
    with PrivatePostfix(Settings(options=options)) as postfix:
        done = run(postfix, "--count", str(HELLOS), way="smtps")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"All {HELLOS} handshakes went as predicted, with their reasons in" in " ".join(done.stdout.split())


def test_a_service_that_is_not_what_its_configuration_says_is_a_finding_with_the_bytes_of_the_hellos() -> None:
    """What runs was started with another protocol list than master.cf has by now: every difference is printed."""
    with PrivatePostfix(Settings(protocols=">=TLSv1")) as postfix:
        master = postfix.configuration / "master.cf"
        text = master.read_text()
        entry = f"{postfix.address}:{postfix.ports['smtp']} inet n - n - - smtpd\n"
        assert entry in text
        master.write_text(text.replace(entry, f"{entry}  -o smtpd_tls_protocols=TLSv1.3\n"))
        done = run(postfix, "--count", "60", "--json")
        found = page(done)
        assert done.returncode == 1
        assert 0 < len(found["misses"]) == 60 - found["agreed"]
        assert any("unsupported protocol" in miss["predicted"] and "TLSv1" in miss["came"] for miss in found["misses"])
        kept = Path(found["kept"])
        try:
            assert kept.stat().st_mode & 0o777 == 0o600
            assert all(miss["hello"] in kept.read_text() for miss in found["misses"])
        finally:
            kept.unlink()
        told = run(postfix, "--count", "60")
        assert told.returncode == 1
        assert "not as predicted" in told.stdout
        Path(next(word for word in told.stdout.split() if "mailtls-handshakes-" in word).rstrip(":")).unlink()


def test_a_postfix_that_does_not_run_or_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with PrivatePostfix(Settings()) as postfix:
        other = tmp_path / "etc"
        other.mkdir()
        for name in ("main.cf", "master.cf"):
            text = (postfix.configuration / name).read_text()
            (other / name).write_text(text.replace(f":{postfix.ports['smtp']} ", ":1 "))
        command = [sys.executable, "-m", "mailtls.ctl", "doctor", "--handshakes", "--config-dir"]
        for directory, service, words in (
            (other, f"{postfix.address}:1", "cannot be asked at 127.0.0.1 port 1: connection refused"),
            (other, "smtp", "mailtlsctl: master.cf has no inet service smtp"),
            (tmp_path, "smtp", "there is no main.cf"),
        ):
            ran = subprocess.run(
                [*command, str(directory), "--service", service], capture_output=True, text=True, check=False
            )
            assert ran.returncode == 2
            assert words in ran.stderr
            assert ran.stderr.count("\n") == 1


@pytest.mark.skipif(why_no_namespaces() is not None, reason=why_no_namespaces() or "")
def test_port_25_and_its_doors_are_asked_without_being_named_and_nobody_takes_it_for_an_outage() -> None:
    with network() as net, net.server, DoorWorld(net) as world:
        ran = world.ctl("doctor", "--handshakes", "--count", "60", "--json")
        assert ran.status == 0, ran
        found = json.loads(ran.said)
        services = {row["service"]: row["certificates"] for row in found["services"]}
        assert services == {"smtp": ["ECDSA"], "10125": ["ECDSA", "RSA"], "10225": ["ECDSA", "RSA"]}
        assert found["tried"] == found["agreed"] == 180
        assert found["log"] == str(world.postfix.log)
        world.await_(lambda: bool(world.asked("peers", "127.0.0.1")["peers"]), "mailtlsd has read of it")
        status = world.asked("status")["mailtlsd"]
        assert status["faults"] == []
        assert world.asked("waivers")["waivers"] == []
