"""`mailtlsctl setup | unsetup | edit | reload` as an operator types them, beside a Postfix that delivers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailtls.edge.reloadpace import LEAST_S
from mailtls.edge.reloadpace import NAME as RECORD

from .applying import age, mail_flowing
from .instance import PrivatePostfix
from .programs import program

MAPS = "smtpd_discard_ehlo_keyword_address_maps"
DONE = "every port shows what it should"


class Operator:
    """Types commands, with a mailtls.toml of this Postfix."""

    def __init__(self, postfix: PrivatePostfix) -> None:
        self.postfix = postfix
        self.config = postfix.directory / "mailtls.toml"
        self.config.write_text(f'root = "{postfix.directory}"\n[log]\nfiles = ["/log/mail.log"]\n')
        self.service = f"{postfix.address}:{postfix.ports['smtp']}"

    def types(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [program("mailtlsctl"), *words, "--config", str(self.config)]
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran

    def reloads(self) -> int:
        return sum("reload -- version" in line for line in self.postfix.lines())

    def latest_reload(self) -> float:
        """When it began, in seconds since boot."""
        (record,) = self.postfix.directory.rglob(RECORD)
        return float(json.loads(record.read_text())["began"])

    def contents(self) -> dict[str, bytes]:
        return {name: (self.postfix.configuration / name).read_bytes() for name in ("main.cf", "master.cf")}


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    with PrivatePostfix() as postfix:
        yield Operator(postfix)


def test_set_up_and_back(operator: Operator) -> None:
    before = operator.contents()
    with mail_flowing(operator.postfix) as stream:
        dry = operator.types("setup", "--dry-run", "--json", "--service", operator.service)
        assert f"+  -o {MAPS}=" in json.loads(dry.stdout)["diff"]
        assert operator.contents() == before
        done = operator.types("setup", "--service", operator.service, "--json")
        page = json.loads(done.stdout)
        assert (done.returncode, page["command"], page["refused"]) == (0, "setup", None)
        assert operator.contents() != before
        assert "nothing was changed" in operator.types("setup", "--service", operator.service).stdout
        undone = operator.types("unsetup")
        assert (undone.returncode, undone.stdout) == (0, "Postfix is as it was before setup.\n")
        assert operator.types("unsetup", "--dry-run").stdout == "Nothing would change.\n"
    assert operator.contents() == before
    assert stream.failures == []


def test_what_is_refused_is_exit_status_4_and_json_all_the_same(operator: Operator) -> None:
    refused = operator.types("setup", "--service", "nosuch", "--json")
    assert refused.returncode == 4
    assert "no inet service nosuch" in json.loads(refused.stdout)["refused"]
    assert refused.stderr.startswith("mailtlsctl: ")


def test_wrong_usage_is_exit_status_2(operator: Operator) -> None:
    for words in (("edit", "dynamicmaps.cf"), ("edit",), ("reload", "--nosuch"), ("setup", "--config-dir", "/nosuch")):
        assert operator.types(*words).returncode == 2, words


def test_an_edit_says_what_changed_and_may_insist(operator: Operator) -> None:
    before = operator.contents()
    change = operator.postfix.directory / "run/mailtls-apply/change.json"
    for words, guarded in ((("edit", "main.cf"), True), (("edit", "--no-guard", "main.cf"), False)):
        old, new = ("mx.example.test", "mx9.example.test")[:: 1 if guarded else -1]
        ran = operator.types(*words, VISUAL=f"sed -i s/{old}/{new}/")
        assert ran.returncode == 0, ran.stderr
        assert f"the greeting was 220 {old}" in ran.stdout.replace("\n", " ")
        assert json.loads(change.read_text())["guarded"] is guarded
    assert operator.contents() == before
    assert operator.types("edit", "main.cf", VISUAL="sed -i s/20s/abc/").returncode == 4
    assert operator.contents() == before


def test_reload_prints_what_is_wrong_and_puts_it_back(operator: Operator) -> None:
    assert DONE in operator.types("reload").stdout
    main = operator.postfix.configuration / "main.cf"
    good = main.read_bytes()
    main.write_bytes(good.replace(b">=TLSv1.2", b"TLSv9"))
    age(main)
    kept = operator.types("reload", "--keep")
    assert kept.returncode == 4
    assert "TLSv9" in main.read_text()
    back = operator.types("reload", "--json")
    page = json.loads(back.stdout)
    assert back.returncode == 4
    assert "Invalid TLS protocol list" in page["refused"]
    assert "-smtpd_tls_protocols = TLSv9" in page["diff"]
    assert main.read_bytes() == good


def test_several_reloads_at_once_are_one_and_the_next_one_waits(operator: Operator) -> None:
    assert operator.types("reload").returncode == 0
    before = operator.reloads()
    with ThreadPoolExecutor(6) as pool:
        ran = list(pool.map(lambda _: operator.types("reload"), range(6)))
    assert [each.returncode for each in ran] == [0] * 6
    assert all(DONE in each.stdout.replace("\n", " ") for each in ran)
    done = operator.reloads() - before
    assert 1 <= done <= 2, "the first may have begun before the last was asked for"
    assert sum("Another reload" in each.stdout for each in ran) == 6 - done
    assert any("waiting" in each.stderr for each in ran)
    last = operator.latest_reload()
    assert DONE in operator.types("reload").stdout.replace("\n", " ")
    assert operator.latest_reload() - last >= LEAST_S


@pytest.mark.parametrize("words", [("setup",), ("unsetup",), ("edit", "main.cf"), ("reload",)], ids=lambda each: each[0])
def test_only_root_may(words: tuple[str, ...]) -> None:
    command = ["setpriv", "--reuid", "65534", "--clear-groups", program("mailtlsctl"), *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin"})
    assert ran.returncode == 4
    assert ran.stderr == "mailtlsctl: Postfix's configuration is changed by root only; run this with sudo\n"
