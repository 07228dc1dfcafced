"""Programs: found or fetched, verified, made migratable once, kept by their sha256.

* ``store``         what the supervisor uses: ``resolve``, ``add``, ``path``
* ``catalogue``     the files behind it
* ``sources``       search path and URLs
* ``singleflight``  one piece of work for all who ask for the same
"""
