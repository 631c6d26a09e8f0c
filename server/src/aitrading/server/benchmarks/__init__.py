"""Benchmarks that measure their own floor in the same run.

A benchmark is a module here with `async def run(*, long: bool) -> dict[str, float | None]`. The
names of its figures begin with its own name and stay for good.
"""
