"""Every message has its place in the unions, an action and a description."""

from typing import Any, get_args

import pytest

from arts.model import ModuleSpec, OnRuntimeLost
from arts.protocol import messages as m

MESSAGES: list[type[Any]] = [*get_args(m.AnyRequest), *get_args(m.AnyCommand), m.Report]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_messages_are_frozen_and_described(message: type[Any]) -> None:
    assert message.model_config["frozen"]
    assert message.__doc__
    assert message is m.Report or message.action


def test_commands_are_told_apart_by_their_action() -> None:
    actions = [command.action for command in get_args(m.AnyCommand)]
    assert len(set(actions)) == len(actions)


def test_a_create_describes_the_module() -> None:
    request = m.CreateModule(
        uuid="m",
        name="n",
        file="f.wasm",
        filetype="PY",
        apis="b a",
        labels={"z": "1", "a": "2"},
        on_runtime_lost="wait",
    )
    assert request.spec("r") == ModuleSpec(
        uuid="m",
        name="n",
        filename="f.wasm",
        filetype="PY",
        apis=frozenset({"a", "b"}),
        labels=(("a", "2"), ("z", "1")),
        parent="r",
        on_runtime_lost=OnRuntimeLost.WAIT,
    )
