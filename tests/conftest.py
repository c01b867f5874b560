"""What all tests share: hypothesis without deadlines, because a busy machine is not a defect."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("mailtls", deadline=None)
settings.load_profile("mailtls")
