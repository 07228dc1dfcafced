"""The pure state machine of a realm. No asyncio, no clock, no randomness, no I/O in this package.

Read in this order: ``effects`` (what goes in and comes out), ``lifecycle`` (the tables), ``realm``
(the one entrance), then what each event means: ``modules`` and ``placement``, ``runtimes`` and
``reconcile``, ``migration`` and ``abort``, and after a crash ``restart``. All of them work on the
one ``state``; ``invariants`` says what must always be true of it.
"""
