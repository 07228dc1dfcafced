"""The pure state machine of a realm. No asyncio, no clock, no randomness, no I/O in this package.

Read in this order: ``effects`` and ``events`` (what goes in and comes out), ``lifecycle`` (the
tables), ``realm`` (the one entrance), then ``runtimes``, ``modules`` and ``migration`` (what each
event means), all of them over the one ``state``.
"""
