"""postmap as we run it: not the site's main.cf, bounded in time, and its own words where it fails."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from tests.edge.tables import needs
from tests.tabletypes import KIND

from mailtls.edge import postmap as module
from mailtls.edge.postmap import Postmap
from mailtls.errors import PostfixError

pytestmark = [pytest.mark.postfix, needs(KIND)]


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "t").write_text("192.0.2.1 one\n192.0.2.2 two words\n")
    Postmap(tmp_path / "own").build(f"{KIND}:{tmp_path}/t")
    return f"{KIND}:{tmp_path}/t"


def test_a_table_is_built_listed_changed_and_asked(tmp_path: Path, table: str) -> None:
    postmap = Postmap(tmp_path / "own")
    assert postmap.entries(table) == {"192.0.2.1": "one", "192.0.2.2": "two words"}
    postmap.change(table, {"192.0.2.3": "three", "192.0.2.1": "uno"}, ["192.0.2.2", "192.0.2.99"])
    assert postmap.entries(table) == {"192.0.2.1": "uno", "192.0.2.3": "three"}
    assert postmap.answers([table], ["192.0.2.1", "192.0.2.2"]) == {"192.0.2.1": "uno"}


def test_the_first_table_that_answers_is_believed(tmp_path: Path, table: str) -> None:
    postmap = Postmap(tmp_path / "own")
    found = postmap.answers(["inline:{192.0.2.1=first}", table, "static:rest"], ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    assert found == {"192.0.2.1": "first", "192.0.2.2": "two words", "192.0.2.3": "rest"}


def test_nothing_found_is_no_failure_and_nothing_asked_asks_nothing(tmp_path: Path, table: str) -> None:
    assert Postmap(tmp_path / "own").answers([table], ["192.0.2.77"]) == {}
    assert Postmap(tmp_path / "own").answers(["nosuch:x"], []) == {}


@pytest.mark.parametrize("spelled", ["hash:/nowhere/t", "nosuch:/x", "cidr:/nowhere/t", "texthash:/nowhere/t"])
def test_a_table_that_cannot_be_used_is_a_sentence_with_postmaps_words(tmp_path: Path, spelled: str) -> None:
    with pytest.raises(PostfixError, match="failed with status 1: postmap: fatal: "):
        Postmap(tmp_path / "own").answers([spelled], ["192.0.2.1"])


def test_the_sites_configuration_is_neither_read_nor_waited_for(tmp_path: Path, table: str) -> None:
    """A Postfix program waits until main.cf is two seconds old, and dies of one that is broken."""
    own = tmp_path / "fresh"
    started = time.monotonic()
    Postmap(own).entries(table)
    assert time.monotonic() - started < 1.5, "our own main.cf was made just now, and must look older"
    assert (own / "main.cf").read_text().startswith("#")


def test_a_postmap_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck(tmp_path, monkeypatch)
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    with pytest.raises(PostfixError, match="did not end within"):
        Postmap(tmp_path / "own").entries("hash:x")


def test_a_keeper_that_is_stopped_waits_for_no_postmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck(tmp_path, monkeypatch)
    postmap, failed = Postmap(tmp_path / "own"), []

    def ask() -> None:
        try:
            postmap.entries("hash:x")
        except PostfixError as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    postmap.interrupt()
    asking.join(5)
    assert failed
    with pytest.raises(PostfixError, match="being stopped"):
        postmap.entries("hash:x")


def test_no_postmap_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND", "postmap-that-is-not-there")
    with pytest.raises(PostfixError, match="is it installed"):
        Postmap(tmp_path / "own").entries("hash:x")


def test_the_environment_of_the_keeper_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MAIL_CONFIG would make postmap read another configuration."""
    monkeypatch.setitem(os.environ, "MAIL_CONFIG", "/nowhere")
    assert Postmap(tmp_path / "own").answers(["static:x"], ["a"]) == {"a": "x"}


def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "stuck"
    script.write_text(f"#!/bin/sh\n: > {tmp_path}/started\nexec sleep 30\n")
    script.chmod(0o755)
    monkeypatch.setattr(module, "COMMAND", str(script))
