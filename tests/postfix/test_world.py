"""The world itself: it begins with a word about what is missing, and nothing of it outlives its maker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .instance import wait_until
from .world import World


def lives(process: int) -> bool:
    """Tell whether this process is there; what is dead and only not yet reaped does not count."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_it_dies_with_the_process_that_started_it() -> None:
    program = (
        "from tests.postfix.world import World\n"
        "with World() as world:\n"
        "    print(world.root, world.keeper.process, world.daemon.process, flush=True)\n"
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
    root, *processes = starter.stdout.readline().split()
    assert all(lives(int(each)) for each in processes)
    starter.kill()
    starter.wait()
    assert wait_until(lambda: not any(lives(int(each)) for each in processes) and not Path(root).exists())


def test_a_start_that_fails_shows_what_was_said_and_leaves_nothing() -> None:
    world = World("[causes.not_tls]\naction = 'wave'\n")
    with pytest.raises(TimeoutError, match="wave"), world:
        pass
    assert not world.root.exists()
    assert not world.keeper.running
