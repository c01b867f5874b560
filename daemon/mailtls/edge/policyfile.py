"""Policy files on disk: the policy, and the list of known peers that goes with it.

The list is the file that the policy's `known_legacy` names, relative to the policy's own place; where it names none,
it is `known-legacy.toml` beside the policy, if there is one. Whatever cannot be read is a ConfigError.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mailtls.core.knownlegacy import NOBODY, KnownPeers, parse_known_peers
from mailtls.core.policy import Policy, parse_policy
from mailtls.edge.operatortext import read_operator_text

BESIDE = "known-legacy.toml"
LARGEST = 4 * 1024 * 1024  # bytes; a list of ten thousand peers is about half of this
ADVICE: Mapping[type[OSError], str] = {
    FileNotFoundError: "there is no such file; check the name, or copy one from the policies directory",
    IsADirectoryError: "this is a directory; name the policy file in it",
    PermissionError: "it may not be read by this user; run as root, or give read permission",
}


class Will(NamedTuple):
    """What the operator wants. `known_source`: the file that the list was read from, None where there is none."""

    policy: Policy
    known: KnownPeers
    source: str
    known_source: str | None


def read_will(path: str) -> Will:
    """Read a policy file and the list of known peers that goes with it."""
    policy = parse_policy(_read(Path(path)), path)
    named = policy.known_legacy
    beside = Path(path).parent / (named if named is not None else BESIDE)
    if named is None and not beside.exists():
        return Will(policy, NOBODY, path, None)
    known = parse_known_peers(_read(beside), str(beside), policy)
    return Will(policy, known, path, str(beside))


def _read(path: Path) -> str:
    return read_operator_text(path, LARGEST, "policy", ADVICE)
