"""Policy files on disk, and the list of known peers beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailtls.edge.policyfile import LARGEST, read_will
from mailtls.errors import ConfigError

ENTRY = '[[peer]]\nnetwork = "192.0.2.7"\nlevel = "legacy"\nreason = "old"\nowner = "me"\nuntil = 2027-06-30\n'
POLICIES = Path(__file__).parents[2] / "policies"


@pytest.mark.parametrize("name", ["default.toml", "strict.toml", "lenient.toml"])
def test_the_shipped_files_are_read_together(name: str) -> None:
    will = read_will(str(POLICIES / name))
    assert will.known_source == str(POLICIES / "known-legacy.toml")
    assert will.known.peer == ()
    assert will.source == str(POLICIES / name)


def test_the_list_beside_the_policy_is_read_where_there_is_one(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text("")
    assert read_will(str(policy)).known_source is None
    (tmp_path / "known-legacy.toml").write_text(ENTRY)
    assert len(read_will(str(policy)).known.peer) == 1


def test_a_list_that_is_named_is_relative_to_the_policy_and_must_exist(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text('known_legacy = "lists/plant.toml"')
    with pytest.raises(ConfigError, match=r"plant\.toml: there is no such file"):
        read_will(str(policy))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "plant.toml").write_text(ENTRY)
    assert read_will(str(policy)).known_source == str(tmp_path / "lists" / "plant.toml")


def test_the_policy_bounds_the_list(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text('[never]\nnetworks = ["192.0.2.0/24"]')
    (tmp_path / "known-legacy.toml").write_text(ENTRY)
    with pytest.raises(ConfigError, match=r"known-legacy\.toml, line 2: 192\.0\.2\.7 overlaps 192\.0\.2\.0/24"):
        read_will(str(policy))


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_bytes(b"\xef\xbb\xbf[limits]\r\nwaivers = 50\r\n")
    assert read_will(str(policy)).policy.limits.waivers == 50


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[limits]\nwaivers = 5\xff", "line 2: this is not UTF-8 text; save it as UTF-8."),
        (b"#" * (LARGEST + 1), "this is larger than 4 MB"),
        (b"\x00", "this is not TOML"),
        (b"%PDF-1.7\n", "this is not TOML"),
    ],
    ids=["not UTF-8", "too large", "binary", "a PDF"],
)
def test_what_is_no_policy_is_refused_with_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    policy = tmp_path / "p.toml"
    policy.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        read_will(str(policy))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_or_a_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file; check the name"):
        read_will(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"this is a directory; name the policy file in it"):
        read_will(str(tmp_path))
    (tmp_path / "known-legacy.toml").mkdir()
    (tmp_path / "p.toml").write_text("")
    with pytest.raises(ConfigError, match=r"known-legacy\.toml: this is a directory"):
        read_will(str(tmp_path / "p.toml"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("")
    (tmp_path / "p.toml").chmod(0)
    with pytest.raises(ConfigError, match="may not be read by this user"):
        read_will(str(tmp_path / "p.toml"))


def test_any_other_failure_of_the_disk_is_said_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "p.toml").symlink_to("p.toml")
    with pytest.raises(ConfigError, match=r"p\.toml: too many levels of symbolic links\."):
        read_will(str(tmp_path / "p.toml"))
