"""Programs: found or fetched, verified, made migratable once, kept by their sha256.

* ``store``         what the supervisor uses: ``resolve``, ``add``, ``path``
* ``catalogue``     the files behind it
* ``continuations`` what continues the stacks of their modules
* ``forms``         in which form they are prepared, if nobody says
* ``preparing``     the work itself, where it disturbs nobody
* ``sources``       search path and URLs
* ``filestore``     folders of Python files, from ARENA's file store
* ``folders``       such a folder as one piece of bytes
* ``singleflight``  one piece of work for all who ask for the same
"""
