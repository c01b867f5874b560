"""What all tests share: hypothesis without deadlines, because a busy machine is not a defect.

Under CI=true the examples are the same in every run, so that a landing does not hang on a draw; elsewhere they are new
in every run, which is how the rare ones are found.

A test that is a coroutine runs in an event loop of its own, and fails if it is not done after `PATIENCE_S`.
"""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest
from hypothesis import settings

PATIENCE_S = 120

settings.register_profile("mailtls", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("mailtls")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutines; anything else is pytest's affair."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**wanted), PATIENCE_S))
    return True
