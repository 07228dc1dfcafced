"""Programs: found or fetched, verified, made migratable once, kept by their sha256.

* ``store``         what the supervisor uses: ``resolve``, ``add``, ``path``
* ``catalogue``     the files behind it
* ``continuations`` what continues the stacks of their modules
* ``forms``         in which form they are prepared, if nobody says
* ``preparing``     the work itself, where it disturbs nobody
* ``sources``       search path and URLs
* ``singleflight``  one piece of work for all who ask for the same
"""
