"""mailtls.toml: what is no configuration is refused with one sentence, and setup's view stands in place of [postfix]."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailtls.config import LARGEST, read_config
from mailtls.errors import ConfigError


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_config(str(path))
    return str(refused.value)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.toml"
    assert refusal(path) == f"{path}: there is no such file; check --config and MAILTLS_CONFIG."


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: this is a directory; name the file in it")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#" * (LARGEST + 1), "this is larger than 1 MB, and no configuration is; check the name."),
        (b"quiet = true\n\xff\n", "line 2: this is not UTF-8 text; save it as UTF-8."),
        (b"quit = true\n", 'did you mean "quiet"?'),
        (b"[postfix]\nsecurity_level = 3\n", "line 2"),
    ],
)
def test_what_is_no_configuration_is_refused_with_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mailtls.toml"
    path.write_bytes(content)
    said = refusal(path)
    assert said.startswith(str(path))
    assert words in said
    assert "\n" not in said


def test_the_view_that_setup_wrote_stands_in_place_of_the_section(tmp_path: Path) -> None:
    (tmp_path / "etc/mailtls").mkdir(parents=True)
    (tmp_path / "etc/mailtls/postfix.toml").write_text(
        'table_type = "hash"\n[strict]\nversions = ["TLSv1.2"]\n[[doors]]\nlevel = "legacy"\nport = 10225\n'
    )
    path = tmp_path / "mailtls.toml"
    path.write_text(f'root = "{tmp_path}"\n[postfix]\ntable_type = "lmdb"\nsecurity_level = "encrypt"\n')
    postfix = read_config(str(path)).postfix
    assert (postfix.table_type, postfix.security_level) == ("hash", "may")
    assert [(door.level, door.port) for door in postfix.doors] == [("legacy", 10225)]
    section = read_config(str(path)).section
    assert (section.table_type, section.doors) == ("lmdb", ()), "what holds again without the file"


def test_without_a_view_the_section_is_what_holds(tmp_path: Path) -> None:
    path = tmp_path / "mailtls.toml"
    path.write_text(f'root = "{tmp_path}"\n[postfix]\nsecurity_level = "encrypt"\n')
    config = read_config(str(path))
    assert config.section == config.postfix
