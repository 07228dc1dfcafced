"""Answers to questions about the realm; changes nothing. PURE."""

from typing import Any

from arts.errors import ArtsError
from arts.protocol.messages import Query, Response
from arts.realm import documents, migration
from arts.realm.commands import refusal
from arts.realm.effects import ListSnapshots
from arts.realm.state import RealmState
from arts.scheduling.explain import explain
from arts.scheduling.filters import Demand


def on_query(state: RealmState, query: Query) -> None:
    """Somebody asks."""
    try:
        if query.what == "snapshots":
            module = state.module_names.the(query.key)
            if query.reply is not None:
                state.effects.append(ListSnapshots(query.reply, module.uuid, module.name))
            return
        details = _answer_to(state, query)
    except ArtsError as error:
        state.answer(query.reply, refusal(error))
        return
    state.answer(query.reply, Response(ok=True, details=details))


def _answer_to(state: RealmState, query: Query) -> dict[str, Any]:
    if query.what == "realm":
        return documents.realm_document(state)
    if query.what == "runtime":
        runtime = state.runtime_names.the(query.key)
        story = documents.story_document(state, runtime.uuid)
        return documents.runtime_document(state, runtime) | {"story": story}
    module = state.module_names.the(query.key)
    if query.what == "why":
        decision = state.decisions.get(module.uuid)
        if decision is None or not decision.opinions:
            decision = explain(Demand(module.spec, needs=module.needs), state.view, state.policy)
        return documents.decision_document(module, decision, state.settings.policy)
    if query.what == "plan":
        return migration.plan(state, module, query.target)
    story = documents.story_document(state, module.uuid)
    return documents.module_document(state, module) | {"story": story}
