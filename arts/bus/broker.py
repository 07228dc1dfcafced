"""A broker of our own as a child process: mosquitto when it is installed, iotcore otherwise.

It knows how these two are configured (docs/adr, and the reasons beside the settings) and how to
start and end them. It speaks no MQTT.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from arts.errors import BusError

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_ATTEMPTS = 5
_USUAL_PORT = 1883
_MIB = 1024 * 1024

# The child dies with us, even when we are killed. The signal is sent when the *thread* that
# started the child ends: so brokers are started from the loop's thread, never from a pool.
_MOSQUITTO_CHILD = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

# Our end of its standard input closes when we die. rumqttd logs each packet as an error, and it
# shows what it logs through Python's logging.
_IOTCORE_CHILD = """
import logging, os, sys, threading
from iotcore import IotCoreBroker
logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
broker = IotCoreBroker(config_path=sys.argv[1])
broker.check_ports()
print("ports are free", flush=True)
broker.run_forever()
"""


class Broker:
    """A broker that can be reached at ``url``; ours to stop and restart if ``pid`` is not None.

    ``ws_url`` is where browsers connect, None without a websocket listener.
    ``kind``: "mosquitto", "embedded" or "external".
    """

    def __init__(self, kind: str, url: str, ws_url: str | None = None) -> None:
        self.kind = kind
        self.url = url
        self.ws_url = ws_url

    @property
    def pid(self) -> int | None:
        """Process id while it runs as our child."""
        return None

    async def restart(self) -> None:
        """Stop and start again, at the same addresses and with the same data."""
        raise BusError(f"the broker at {self.url} is not ours to restart")

    async def stop(self) -> None:
        """End it gracefully, or else not. Idempotent."""

    def kill(self) -> None:
        """End it as a crash would; ``restart`` brings it back."""
        raise BusError(f"the broker at {self.url} is not ours to kill")


class ChildBroker(Broker):
    """A broker in a child process. ``directory`` (made if missing) takes its files and its log."""

    def __init__(
        self, kind: str, directory: Path, host: str, port: int, ws_port: int | None
    ) -> None:
        name = f"[{host}]" if ":" in host else host
        ws_url = None if ws_port is None else f"ws://{name}:{ws_port}/mqtt"
        super().__init__(kind, f"mqtt://{name}:{port}", ws_url)
        self._directory = directory
        self._host = host
        self._ports = [port] if ws_port is None else [port, ws_port]
        self._log = directory / f"{kind}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it and wait until it accepts connections. Raises ``BusError``, log included."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                self._command(), stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text(errors="replace").strip()[-2000:]
                self.kill()
                raise BusError(f"{self.kind} did not start: {tail or 'it said nothing'}")
            await asyncio.sleep(0.005)

    async def restart(self) -> None:
        """Stop and start again, at the same addresses and with the same data."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """End it gracefully, or after 5 s not. Idempotent."""
        process = self._process
        if process is None:
            return
        process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _accepts(self) -> bool:
        # Whoever answers on the port may be somebody else's broker: ours has to say that it can.
        said = self._log.read_bytes()
        if self.kind == "mosquitto":
            return b" running\n" in said
        return b"ports are free" in said and all(_answers(self._host, p) for p in self._ports)

    def _command(self) -> list[str]:
        if self.kind == "mosquitto":
            program = find_mosquitto()
            if program is None:
                raise BusError("mosquitto is not installed (or not on the PATH)")
            config = self._directory / "mosquitto.conf"
            config.write_text(_mosquitto_config(self._host, self._ports, self._directory))
            start = [sys.executable, "-I", "-S", "-c", _MOSQUITTO_CHILD, str(os.getpid())]
            return [*start, program, "-c", str(config)]
        config = self._directory / "iotcore.toml"
        config.write_text(_iotcore_config(self._host, self._ports))
        return [sys.executable, "-I", "-c", _IOTCORE_CHILD, str(config)]


def find_mosquitto() -> str | None:
    """Path of the mosquitto program. Distributions put it where users do not look."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which("mosquitto", path=os.pathsep.join([path, "/usr/sbin", "/usr/local/sbin"]))


@asynccontextmanager
async def open_broker(
    kind: str,
    data_dir: Path,
    *,
    port: int | None = 0,
    ws_port: int | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Broker]:
    """Have a broker for the duration.

    ``kind``: "mosquitto", "embedded" (iotcore), "auto" (mosquitto if installed), or the URL of a
    broker that runs already. ``port`` and ``ws_port`` 0 mean any free one, ``port`` None means
    1883 if that is free; ``ws_port`` None means no websocket listener (``websocket_bridge`` is
    the better one). Files go to ``data_dir``. Raises ``BusError``.
    """
    if "://" in kind:
        yield Broker("external", kind)
        return
    if kind == "auto":
        kind = "mosquitto" if find_mosquitto() else "embedded"
    if kind not in ("mosquitto", "embedded"):
        raise BusError(f"no such kind of broker: {kind!r} (auto, mosquitto, embedded or a URL)")
    if port is None:
        port = 0 if _answers(host, _USUAL_PORT) else _USUAL_PORT
    broker = await _start(kind, data_dir, host, port, ws_port)
    try:
        yield broker
    finally:
        await broker.stop()


async def _start(
    kind: str, data_dir: Path, host: str, port: int, ws_port: int | None
) -> ChildBroker:
    """Start on the ports asked for; with free choice, somebody may be faster: then again."""
    attempts = _ATTEMPTS if port == 0 or ws_port == 0 else 1
    while True:
        attempts -= 1
        chosen = port or _free_port(host)
        ws_chosen = _free_port(host) if ws_port == 0 else ws_port
        broker = ChildBroker(kind, data_dir, host, chosen, ws_chosen)
        try:
            await broker.start()
        except BusError:
            if attempts == 0:
                raise
        except BaseException:
            broker.kill()
            raise
        else:
            return broker


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _mosquitto_config(host: str, ports: list[int], directory: Path) -> str:
    """The settings without which module sessions lose messages silently."""
    websockets = f"listener {ports[1]} {host}\nprotocol websockets\n" if len(ports) > 1 else ""
    # Started by root it would drop to the user "mosquitto", who cannot write to our directory.
    user = "user root\n" if os.geteuid() == 0 else ""
    return f"""{user}listener {ports[0]} {host}
{websockets}allow_anonymous true
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
connection_messages false
persistence true
persistence_location {directory.resolve()}{os.sep}
# After kill -9 at most this many seconds of queued messages are lost (the default is 1800).
autosave_interval 5
# The default of 1000 drops what comes while a module moves. Bytes are the limit instead.
max_queued_messages 0
max_queued_bytes {64 * _MIB}
# At least twice the number of messages that a module may hold unacknowledged.
max_inflight_messages 200
queue_qos0_messages true
upgrade_outgoing_qos true
set_tcp_nodelay true
persistent_client_expiration 1d
message_size_limit 0
"""


def _iotcore_config(host: str, ports: list[int]) -> str:
    """TOML for rumqttd. Its defaults listen on all interfaces and refuse more than 20 KiB."""
    listeners = zip(("v4", "ws"), ports, strict=False)
    return f"""id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
# Each filter keeps a log of this size, delivered or not: what a slow reader may be behind.
max_segment_size = {_MIB}
max_segment_count = 16
""" + "".join(
        f"""
[{kind}.1]
name = "{kind}-1"
listen = {json.dumps(f"{host}:{port}")}
next_connection_delay_ms = 1

[{kind}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {64 * _MIB}
max_inflight_count = 200
dynamic_filters = true
"""
        for kind, port in listeners
    )
