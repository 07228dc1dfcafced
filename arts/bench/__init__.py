"""Measurements of the real thing: real brokers, real processes, the store on disk.

Each module has one ``async def measure(...) -> dict`` whose result is one flat JSON object.
Machines are shared and noisy: compare ratios within one run, quote medians.
"""
