"""The text of a file that an operator wrote: bounded, UTF-8, or one sentence that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mailtls.errors import ConfigError

MB = 1024 * 1024


def read_operator_text(
    path: Path, largest: int, kind: str, advice: Mapping[type[OSError], str] | None = None
) -> str:
    """Read a file of at most `largest` bytes, with or without a byte order mark.

    `kind`: what it is meant to be, for the sentence about one that is too large; `advice`: what to do about errors of
    some types. Raises ConfigError.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        why = (advice or {}).get(type(error)) or (error.strerror or "it cannot be read").lower()
        raise ConfigError(f"{path}: {why}.") from error
    if len(content) > largest:
        raise ConfigError(f"{path}: this is larger than {largest // MB} MB, and no {kind} is; check the name.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: this is not UTF-8 text; save it as UTF-8.") from error
