"""Files of operators: the place and the words of a refusal. The many cases are in test_policy and test_knownlegacy."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mailtls.core.operatorfile import Fault, parse_operator_file, refusal, shown
from mailtls.errors import ConfigError


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = Field(strict=True)


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    leaves: tuple[Leaf, ...] = Field(default=(), alias="leaf")
    by_name: dict[str, Leaf] = Field(default_factory=dict)


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_operator_file(Tree, text, "f.toml")
    return str(error.value)


def test_a_file_becomes_its_model() -> None:
    tree = parse_operator_file(Tree, "[[leaf]]\nsize = 1\n[by_name.a]\nsize = 2", "f.toml")
    assert tree.leaves == (Leaf(size=1),)
    assert tree.by_name == {"a": Leaf(size=2)}


def test_the_keys_of_an_inner_table_are_offered_wherever_it_stands() -> None:
    assert (
        refused("[[leaf]]\nsise = 1")
        == "f.toml, line 1: [[leaf]] number 1 has no size; add it, as docs/policy.md shows."
    )
    assert refused("[[leaf]]\nsize = 1\nsise = 1").startswith(
        'f.toml, line 3: "sise" is no key of [[leaf]] number 1; did'
    )
    assert refused("[by_name.a]\nsize = 1\nx = 1").endswith('"x" is no key of [by_name.a]; write one of size.')
    assert refused("leaves = []").endswith('"leaves" is no key of the file; did you mean "leaf"?')


def test_a_missing_line_is_not_invented() -> None:
    assert refusal([Fault((), "it is empty")], "", "f.toml") == "f.toml: it is empty."


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (3, "3"), ("a", '"a"'), ("\x1b[m", '"?[m"'), ("x" * 100, '"' + "x" * 59 + "..."), ([1], "[1]")],
)
def test_a_value_is_repeated_in_the_spelling_of_the_file_and_never_raw(value: object, text: str) -> None:
    assert shown(value) == text
