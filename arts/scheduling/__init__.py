"""Where a module goes: a demand and a view in, a placement or reasons out. PURE.

``view`` is the picture, ``filters`` say whether, ``policies`` say how good and decide, ``explain``
says why.
"""
