"""docs/setup.md as an operator follows it: its boxes, run as printed.

A box is marked `sh` and a word for when it applies: none for everybody, `doors`
in place of the box before it, `milter` for who wants it, `undo`, `purge` in its
place; `by-hand` names a person, and is not run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.system.machine import CHECKOUT, SOURCE, Machine

_FENCE = re.compile(r"^```(.*)$")


@dataclass(frozen=True)
class Box:
    """One box: the step that it stands in (`5. Tell Postfix, ...`), its mark, its commands."""

    step: str
    mark: str
    commands: str


def boxes() -> list[Box]:
    """Read all boxes of the document."""
    found, step, mark, lines = [], "", None, []
    for line in (CHECKOUT / "docs" / "setup.md").read_text("utf-8").splitlines():
        fence = _FENCE.match(line)
        if fence and mark is None:
            mark, lines = fence[1], []
        elif fence:
            found.append(Box(step, mark or "", "\n".join(lines)))
            mark = None
        elif mark is not None:
            lines.append(line)
        elif line.startswith("## "):
            step = line.removeprefix("## ")
    return found


def follow(machine: Machine, *steps: str, mark: str = "sh") -> str:
    """Run the boxes of these steps (by their first characters) that have this mark; give what they print."""
    wanted = [box for box in boxes() if box.mark == mark and box.step.startswith(steps)]
    assert wanted, f"docs/setup.md has no box '{mark}' in {steps}"
    return "".join(machine.script(f"cd {SOURCE}\n{box.commands}\n") for box in wanted)
