"""ARTS: the ARENA Runtime Supervisor.

Where to look first:

* ``model``        the records everybody shares: runtimes, modules, migrations
* ``protocol``     what is on the wire: messages, topics, and the only code that knows JSON
* ``realm``        the pure state machine: ``effects = realm.handle(event, now)``
* ``scheduling``   the pure scheduler: a view of the realm in, a placement with reasons out
* ``migratable``   wasm -> wasm that can stop anywhere
* ``supervisor``   the only shell: bus -> realm -> store -> bus
"""

__version__ = "0.1.0"
