"""Programs in ARENA scenes: what is said in a scene becomes modules of the realm. PURE.

* ``wire``      bytes on a scene's topics -> events
* ``program``   the data of a program object -> a request for a module; variables, file store
* ``state``     which programs, instances and viewers there are, and what is asked of the realm
* ``scenes``    the state machine: events in, effects out
* ``panel``     the program manager that a scene shows: an ``arenaui-button-panel``
* ``run_info``  what a scene is told about its programs

A scene asks like any client of the realm, so the realm knows nothing of scenes (ADR 0010). The
connection, the clock and the disk are in ``arts.scene_service``.
"""
