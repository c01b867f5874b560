"""What all tests share: hypothesis without deadlines, because a busy machine is not a defect.

Under CI=true the examples are the same in every run, so that a landing does not hang on a draw; elsewhere they are new
in every run, which is how the rare ones are found.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("mailtls", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("mailtls")
