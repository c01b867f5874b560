"""The private Postfix itself: it serves, it logs, and it leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from .certificates import KeyType
from .clients import TLS10_ONLY, TLS12_RSA_ONLY, TLS13_MODERN, delivers_without_tls, insists
from .configuration import Settings
from .conversation import Conversation, Server
from .instance import PrivatePostfix, group_lives, reserved_ports, wait_until


def the_door(postfix: PrivatePostfix, way_in: str = "smtp") -> Server:
    return Server(postfix.address, postfix.ports[way_in], tls_at_once=way_in == "smtps")


def test_a_modern_client_delivers_through_every_way_in() -> None:
    with PrivatePostfix() as postfix:
        for number, way_in in enumerate(("smtp", "smtps", "submission", "legacy"), 1):
            assert insists(TLS13_MODERN)(f"127.9.0.{number}", the_door(postfix, way_in)).delivered, way_in
            postfix.wait_for_sessions({f"127.9.0.{number}": 1})
        assert sum("status=sent" in line for line in postfix.lines()) >= 3


def test_an_rsa_only_client_is_served_only_where_there_is_an_rsa_certificate() -> None:
    with PrivatePostfix() as ecdsa_only:
        assert not insists(TLS12_RSA_ONLY)("127.9.0.1", the_door(ecdsa_only)).delivered
        assert insists(TLS12_RSA_ONLY)("127.9.0.1", the_door(ecdsa_only, "legacy")).delivered
    with PrivatePostfix(Settings(key_types=(KeyType.ECDSA, KeyType.RSA))) as both:
        assert insists(TLS12_RSA_ONLY)("127.9.0.1", the_door(both)).delivered


def test_the_protocols_are_what_was_asked_for() -> None:
    with PrivatePostfix(Settings(protocols=">=TLSv1")) as lenient:
        assert insists(TLS10_ONLY)("127.9.0.1", the_door(lenient)).delivered


def test_starttls_is_hidden_from_the_listed_addresses_only() -> None:
    with PrivatePostfix(Settings(hide_starttls=("127.9.0.1",))) as postfix:
        for address, announced in (("127.9.0.1", False), ("127.9.0.2", True)):
            with Conversation(address, the_door(postfix)) as conversation:
                conversation.greet()
                assert ("STARTTLS" in conversation.keywords) is announced


def test_ports_of_clients_are_logged_on_request() -> None:
    with PrivatePostfix(Settings(port_logging=True)) as postfix:
        delivers_without_tls("127.9.0.1", the_door(postfix))
        postfix.wait_for(r"connect from unknown\[127\.9\.0\.1\]:\d+$")


def test_ports_that_one_instance_has_chosen_are_not_found_free_by_another() -> None:
    with ExitStack() as first, ExitStack() as second:
        chosen = reserved_ports(200, first)
        assert not set(chosen) & set(reserved_ports(200, second))
        with PrivatePostfix() as postfix:
            assert not set(chosen) & set(postfix.ports.values())


@pytest.mark.parametrize("failing", [False, True])
def test_no_process_and_no_file_is_left_also_after_a_failure(failing: bool) -> None:
    postfix = PrivatePostfix()
    with suppress(ZeroDivisionError), postfix:
        insists(TLS13_MODERN)("127.9.0.1", the_door(postfix))
        master = int((postfix.directory / "queue/pid/master.pid").read_text())
        assert group_lives(master)
        assert 1 / (not failing)
    assert not group_lives(master)
    assert not postfix.directory.exists()


def test_a_start_that_fails_shows_the_log_and_leaves_nothing() -> None:
    postfix = PrivatePostfix(Settings(extra={"inet_interfaces": "192.0.2.1"}))
    with pytest.raises(TimeoutError), postfix:
        pass
    assert not postfix.directory.exists()


def test_it_dies_with_the_process_that_started_it() -> None:
    program = (
        "from tests.postfix.instance import PrivatePostfix\n"
        "with PrivatePostfix() as postfix:\n"
        "    print((postfix.directory / 'queue/pid/master.pid').read_text().strip(), postfix.directory, flush=True)\n"
        "    input()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    master, directory = starter.stdout.readline().split()
    starter.kill()
    starter.wait()
    assert wait_until(lambda: not group_lives(int(master)) and not Path(directory).exists())
