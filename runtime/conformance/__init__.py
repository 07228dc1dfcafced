"""What every engine must do, as tests: inherit ``EngineContract`` and say what to test.

    class TestMyEngine(EngineContract):
        @classmethod
        def make_engine(cls): return MyEngine()          # fresh each time

        @classmethod
        def programs(cls): return {"counter": ..., }     # role -> program bytes

Roles (the example programs of the same names, and what the tests' ``probe`` does): ``hello``,
``counter``, ``stdinread``, ``poll``, ``echo``, ``queens``, ``spin``, ``trap``, ``signals``,
``flood``, ``hog``, ``probe``. Tests whose role is missing are skipped.

Knows the promises in ``runtime.engines.base``. Knows no engine. Needs pytest.
"""

from runtime.conformance.driver import Load, Module, Start
from runtime.conformance.moving import MovingContract
from runtime.conformance.running import RunningContract

__all__ = ["EngineContract", "Load", "Module", "Start"]


class EngineContract(RunningContract, MovingContract):
    """The promises of ``Engine``, ``Program`` and ``Instance``."""
