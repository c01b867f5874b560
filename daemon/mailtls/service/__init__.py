"""Thin `async run()` shells around the core."""
