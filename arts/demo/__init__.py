"""The main job in under a minute: four modules move between runtimes while they run.

A counter that must not skip or repeat, a computation that must come out the same, an echo that
must answer each message exactly once, and a box in a scene that must not stutter. Talks to a realm
as anybody would, through ``arts.client``; the verdict is made of what an observer saw on the
broker, not of what anybody claims.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from arts.bus.base import Received
from arts.client import Client
from arts.demo.box import Sight
from arts.errors import FailedPrecondition

QUEENS = "13"
"""A board that takes seconds: long enough to be moved again and again."""
ROUNDS = 5
PAUSE = 0.2
"""Seconds between two moves: time to see something, and to run at the new place."""
ECHO_INTERVAL = 0.01


@dataclass
class Traveller:
    """One module of the demo and what was seen of it."""

    name: str
    uuid: str
    lines: list[str] = field(default_factory=list)
    moves: list[dict[str, object]] = field(default_factory=list)
    problem: str | None = None
    state: str = "starting"

    @property
    def downtimes(self) -> list[float]:
        """Milliseconds during which it did not run, for each move."""
        return [float(str(move["downtime_ms"])) for move in self.moves]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an observer concludes about one module."""

    name: str
    ok: bool
    text: str


Report = Callable[[list[Traveller]], None]


async def run_demo(client: Client, report: Report, *, rounds: int = ROUNDS) -> list[Verdict]:
    """Start the four modules, move each ``rounds`` times, judge. ``report`` shows progress."""
    async with AsyncExitStack() as stack:
        counter = await _start(client, stack, "counter", args=("10",))
        queens = await _start(client, stack, "queens", args=(QUEENS,))
        at_rest = await _start(client, stack, "queens", name="queens-at-rest", args=(QUEENS,))
        echo, post = await _start_echo(client, stack)
        box, sight = await _start_box(client, stack)
        travellers = [counter, queens, echo, box]
        for traveller in travellers:
            await client.wait_state(traveller.uuid, {"running"}, timeout=60)
            traveller.state = "running"
            report(travellers)
        posting = asyncio.create_task(post.send(), name="echo messages")
        stack.callback(posting.cancel)
        sight.moving_since = asyncio.get_running_loop().time()
        for _ in range(rounds):
            for traveller in travellers:
                await _move(client, traveller)
                report(travellers)
                await asyncio.sleep(PAUSE)
        posting.cancel()
        for computation in (queens, at_rest):
            await client.wait_state(computation.uuid, {"exited"}, timeout=60)
            computation.state = "exited"
        report(travellers)
        await post.settle(timeout=10)
        await client.delete(counter.uuid)
        await client.delete(echo.uuid)
        await client.delete(box.uuid, force=True)
        report(travellers)
        return [
            judge_counter(counter.lines, len(counter.moves)),
            judge_queens(queens.lines, at_rest.lines, len(queens.moves)),
            post.judge(len(echo.moves)),
            Verdict("box", *sight.judge(len(box.moves))),
        ]


async def _start(
    client: Client, stack: AsyncExitStack, program: str, *, name: str = "", **fields: Any
) -> Traveller:
    """Listen first, then start: not a line is missed."""
    traveller = Traveller(name or program, str(uuid.uuid4()))
    lines = await stack.enter_async_context(client.output(traveller.uuid, ("stdout",)))

    async def collect() -> None:
        async for line in lines:
            traveller.lines.append(line.line)

    collector = asyncio.create_task(collect(), name=f"output of {traveller.name}")
    stack.callback(collector.cancel)
    await client.create(program, uuid=traveller.uuid, name=traveller.name, **fields)
    return traveller


async def _move(client: Client, traveller: Traveller) -> None:
    try:
        traveller.moves.append(await client.move(traveller.uuid))
    except FailedPrecondition as error:
        # Only what still runs can move: the computation may be done before its last round.
        traveller.problem = str(error)


# ---------------------------------------------------------------------------- the echo


class Post:
    """Numbered messages to the echo, and its answers."""

    def __init__(self, client: Client, topic: str) -> None:
        self._client = client
        self._topic = topic
        self.sent = 0
        self.answers: list[str] = []
        self._answered = asyncio.Event()

    async def send(self) -> None:
        """One message every few milliseconds, until cancelled."""
        while True:
            self.sent += 1
            self._client.publish(f"{self._topic}/in", f"message {self.sent}".encode())
            await asyncio.sleep(ECHO_INTERVAL)

    async def collect(self, messages: AsyncIterator[Received]) -> None:
        """Remember the answers in the order in which they come."""
        async for message in messages:
            self.answers.append(message.payload.decode())
            self._answered.set()

    async def settle(self, timeout: float) -> None:
        """Wait for the last answer, and a little longer for one too many."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while len(self.answers) < self.sent:
                    self._answered.clear()
                    await self._answered.wait()
        await asyncio.sleep(0.3)

    def judge(self, moves: int) -> Verdict:
        """Each message answered exactly once, in order."""
        expected = [f"message {number + 1}" for number in range(self.sent)]
        if self.answers == expected:
            text = f"{self.sent} messages, each answered exactly once, in {moves} moves"
            return Verdict("echo", moves > 0, text)
        counts = Counter(self.answers)
        lost = sum(1 for message in expected if message not in counts)
        doubled = sum(count - 1 for count in counts.values())
        return Verdict("echo", False, f"{self.sent} messages: {lost} lost, {doubled} doubled")


async def _start_echo(client: Client, stack: AsyncExitStack) -> tuple[Traveller, Post]:
    topic = f"{client.topics.realm}/demo/{uuid.uuid4().hex[:8]}"
    post = Post(client, topic)
    answers = await stack.enter_async_context(client.messages(f"{topic}/out"))
    collector = asyncio.create_task(post.collect(answers), name="answers of echo")
    stack.callback(collector.cancel)
    channels = [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r"},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w"},
    ]
    return await _start(client, stack, "echo", channels=channels), post


# ---------------------------------------------------------------------------- the box


async def _start_box(client: Client, stack: AsyncExitStack) -> tuple[Traveller, Sight]:
    topic = f"{client.topics.realm}/s/demo/{uuid.uuid4().hex[:8]}/o/box_1"
    sight = Sight()
    messages = await stack.enter_async_context(client.messages(topic))
    looking = asyncio.create_task(sight.look(messages), name="looking at the box")
    stack.callback(looking.cancel)
    channels = [{"path": "/ch/scene", "topic": topic, "mode": "w"}]
    box = await _start(client, stack, "moving-box", name="box", channels=channels)
    return box, sight


# ---------------------------------------------------------------------------- verdicts


def judge_counter(lines: list[str], moves: int) -> Verdict:
    """``count 1``, ``count 2`` ... without a gap or a repeat."""
    expected = [f"count {number + 1}" for number in range(len(lines))]
    if lines and lines == expected:
        return Verdict(
            "counter", moves > 0, f"counted to {len(lines)} in {moves} moves: no gap, no repeat"
        )
    wrong = next((n for n, (a, b) in enumerate(zip(lines, expected, strict=True)) if a != b), 0)
    text = f"line {wrong + 1} is {lines[wrong]!r}" if lines else "never counted"
    return Verdict("counter", False, text)


def judge_queens(lines: list[str], at_rest: list[str], moves: int) -> Verdict:
    """The whole output, line by line, as of the same computation that nobody touched."""
    if lines and lines == at_rest:
        text = f"{lines[-1]}, after {moves} moves as without any"
        return Verdict("queens", moves > 0, text)
    wrong = next((n for n, (a, b) in enumerate(zip(lines, at_rest, strict=False)) if a != b), None)
    where = f"line {wrong + 1} differs" if wrong is not None else "the output is of another length"
    return Verdict("queens", False, f"{where} from the run that never moved")
