"""Single changes to an access request that could have changed its decision, smallest first.

Every candidate comes from the request itself: a label that it has, a value that is not the user's, an app that could be
trusted more. Which of them does change the decision only the policies know; `explain` asks them.

Tried and rejected:
    * Another effect or egress of the function: what a function does to the world is a fact, and to state it otherwise
      is no mend.
    * Partial evaluation: its residual is exact, and as long and as hard to read as the policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from jsonpointer import JsonPointer, JsonPointerException

from hub.mediation.request import GrantFact, GrantScope, LabelsFact, Trust

_TRUSTS: tuple[str, ...] = get_args(Trust)
_GRANT = "g-what-if"
_END_OF_TIME = "9999-12-31T23:59:59.999Z"
_COUNTS = {
    "session": "if the session had made at most {n} calls",
    "function": "if the session had asked for {function} at most {n} times",
    "session_minute": "if the session had made at most {n} calls within the minute",
    "function_minute": "if the session had asked for {function} at most {n} times within the minute",
    "session_tokens": "if it had come to at most {n} tokens of the session, with what may be answered",
    "app_tokens": "if it had come to at most {n} tokens of the asker, with what may be answered",
    "declined": "if a person had said no to just this at most {n} times",
    "user_tokens": "if it had come to at most {n} tokens of the user today, with what may be answered",
}
_SPARES = {
    "user_share": "if {pointer} were less of the user's own words",
    "identifier_of": "if {pointer} were not known to be there",
    "leaf_of": "if {pointer} were no leaf of what some function returned",
    "named_source": "if {pointer} did not stand in a source that the user named",
}
_ASKS = {"links": "if {pointer} held no links that the user did not name"}
_ABSENT = object()

Step = str | int


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        words: What would have had to be otherwise.
        pointer: Where in the access request, RFC 6901.
        document: The access request with the change.
        size: How many things it changes.
        count: Of a count that was lowered: what it was; the words and the document are for the least it can be.
    """

    words: str
    pointer: str
    document: dict[str, Any]
    size: int = 1
    count: int | None = None


def loosening(document: dict[str, Any]) -> list[Change]:
    """Return the changes that could make a decision less strict."""
    found = [*_yes(document), *_provenance(document, user=True), *_without_evidence(document, _ASKS)]
    found += [*_called_for(document, called=True), *_plan(document), *_labels(document)]
    found += [*_declared(document), *_clearance(document), *_trust(document), *_counts(document)]
    return sorted(found, key=lambda change: change.size)


def tightening(document: dict[str, Any]) -> list[Change]:
    """Return the changes that could make a decision stricter: what an allow may stand on."""
    found = [*_without_grant(document), *_provenance(document, user=False)]
    return [*found, *_without_evidence(document, _SPARES), *_called_for(document, called=False)]


def lowered(document: dict[str, Any], change: Change, count: int) -> Change:
    """Return a change of a count with another count."""
    path = [step for step in change.pointer.split("/") if step]
    words = _count_words(document, path[-1], count)
    return Change(words, change.pointer, _with(document, path, count), count=change.count)


def _yes(document: dict[str, Any]) -> Iterator[Change]:
    user, function = document["subject"]["user"], document["resource"]["id"]
    words = {
        "once": f"if {user} had said yes to this one call of {function}",
        "session": f"if {user} had said yes to such calls of {function} for the session",
        "until": f"if {user} had said yes to such calls of {function} until a time",
        "always": f"if {user} had said yes to such calls of {function} for good",
    }
    for scope in get_args(GrantScope):
        grants = [*document["grants"], _grant(document, scope)]
        yield Change(words[scope], "/grants/-", _with(document, ["grants"], grants))


def _grant(document: dict[str, Any], scope: GrantScope) -> dict[str, Any]:
    """Return the grant that a yes to this request would be."""
    context, resource = document["context"], document["resource"]
    constraint = {}
    for pointer in resource.get("function", {}).get("control_arguments", []):
        value = _at(document["arguments"], pointer)
        if value is not _ABSENT:
            constraint[pointer] = value
    # As a yes binds: past the session, what steers a function without control arguments is all of its arguments.
    exact = scope == "once" or "user_data" in resource or (scope != "session" and not constraint)
    labels = LabelsFact(**context["labels"])
    if "host" in resource:
        # Whoever agrees to a connection agrees to hear from the host.
        heard = {*labels.integrity, resource["host"]["origin"]}
        labels = labels.model_copy(update={"integrity": sorted(heard)})
    if "user_data" in resource:
        told = {*labels.confidentiality, *resource["user_data"]["confidentiality"]}
        labels = labels.model_copy(update={"confidentiality": sorted(told)})
    return GrantFact(
        id=_GRANT,
        scope=scope,
        user=document["subject"]["user"],
        session=context["session"],
        caller=document["subject"]["id"],
        function=resource["id"],
        caller_digest=document["subject"].get("app", {}).get("digest"),
        target_digest=resource.get("app", {}).get("digest"),
        arguments_digest=context["arguments_digest"] if exact else None,
        constraint=None if exact else constraint,
        labels=labels,
        expires=_END_OF_TIME if scope == "until" else None,
        chain=context["chain"],
    ).model_dump(mode="json", by_alias=True, exclude_none=True)


def _without_grant(document: dict[str, Any]) -> Iterator[Change]:
    for index, grant in enumerate(document["grants"]):
        rest = [other for other in document["grants"] if other is not grant]
        yield Change(f"without the grant {grant['id']}", f"/grants/{index}", _with(document, ["grants"], rest))


def _provenance(document: dict[str, Any], *, user: bool) -> Iterator[Change]:
    provenance: dict[str, Any] = document["context"]["provenance"]
    words = "stood" if user else "did not stand"
    owner = f"in {document['subject']['user']}'s own words"
    pointers = [pointer for pointer, known in provenance.items() if known["user"] is not user]
    for pointer in pointers:
        changed = _with(document, ["context", "provenance", pointer], {"user": user, "from": []})
        yield Change(f"if {pointer} {words} {owner}", f"/context/provenance/{_escaped(pointer)}", changed)
    if len(pointers) > 1 and user:
        every = provenance | {pointer: {"user": True, "from": []} for pointer in pointers}
        changed = _with(document, ["context", "provenance"], every)
        yield Change(f"if all arguments {words} {owner}", "/context/provenance", changed, size=len(pointers))


def _without_evidence(document: dict[str, Any], kinds: dict[str, str]) -> Iterator[Change]:
    for pointer, known in document["context"]["provenance"].items():
        for kind in kinds.keys() & known.keys():
            less = {name: value for name, value in known.items() if name != kind}
            changed = _with(document, ["context", "provenance", pointer], less)
            where = f"/context/provenance/{_escaped(pointer)}/{kind}"
            yield Change(kinds[kind].format(pointer=pointer), where, changed)


def _called_for(document: dict[str, Any], *, called: bool) -> Iterator[Change]:
    if document["context"].get("called_for", False) is not called and "function" in document["resource"]:
        words = "called for it" if called else "did not call for it"
        changed = _with(document, ["context", "called_for"], called)
        yield Change(f"if {document['subject']['user']}'s own words {words}", "/context/called_for", changed)


def _plan(document: dict[str, Any]) -> Iterator[Change]:
    if not document["context"]["planned"]:
        yield Change("if it were in the plan", "/context/planned", _with(document, ["context", "planned"], True))


def _labels(document: dict[str, Any]) -> Iterator[Change]:
    caller, function = document["subject"]["id"], document["resource"]["id"]
    wheres: list[tuple[list[Step], dict[str, str]]] = [
        (
            ["context", "labels"],
            {
                "integrity": f"if {caller} were not influenced by {{}}",
                "confidentiality": f"if {caller} did not carry {{}}",
            },
        )
    ]
    if "function" in document["resource"]:
        of_result = dict.fromkeys(("integrity", "confidentiality"), f"if the result of {function} did not carry {{}}")
        wheres.append((["resource", "function", "labels"], of_result))
    for path, words in wheres:
        for kind, sentence in words.items():
            labels: list[str] = _get(document, [*path, kind])
            pointer = "/" + "/".join(map(str, [*path, kind]))
            for index, label in enumerate(labels):
                rest = [other for other in labels if other != label]
                yield Change(sentence.format(label), f"{pointer}/{index}", _with(document, [*path, kind], rest))
            if len(labels) > 1:
                every = sentence.format(", ".join(labels))
                yield Change(every, pointer, _with(document, [*path, kind], []), size=len(labels))


def _declared(document: dict[str, Any]) -> Iterator[Change]:
    resource, app = document["resource"], document["subject"].get("app", {})
    for of, flag, what in (("model", "asks_model", "asks the model"), ("memory", "remembers", "remembers the user")):
        if of in resource:
            if app.get(flag) is False:
                words = f"if the manifest of {document['subject']['id']} declared that it {what}"
                yield Change(words, f"/subject/app/{flag}", _with(document, ["subject", "app", flag], True))
            return
    kind, does = ("egress", "connects to") if "host" in resource else ("asks", "asks for")
    declared, wanted = app.get(kind), resource["id"]
    if "user_data" in resource:
        kind, does = "user_data", "wants, of the user,"
        declared, wanted = app.get(kind), f"{resource['user_data']['function']}.{resource['user_data']['name']}"
    if declared is not None and wanted not in declared:
        words = f"if the manifest of {document['subject']['id']} declared that it {does} {wanted}"
        yield Change(words, f"/subject/app/{kind}", _with(document, ["subject", "app", kind], [*declared, wanted]))


def _clearance(document: dict[str, Any]) -> Iterator[Change]:
    resource = document["resource"]
    result = resource.get("function", {}).get("labels", {}).get("confidentiality", [])
    result = resource.get("user_data", {}).get("confidentiality", result)
    carried = document["context"]["labels"]["confidentiality"]
    for party, kind, labels in (
        ("subject", "app", result),
        ("resource", "app", carried),
        ("resource", "model", carried),
    ):
        who = document[party].get(kind)
        missing = [label for label in labels if who is not None and label not in who["clearance"]]
        path: list[Step] = [party, kind, "clearance"]
        name = f"the provider of {document['resource']['id']}" if kind == "model" else (who or {}).get("name")
        for wanted in [[label] for label in missing] + ([missing] if len(missing) > 1 else []):
            words = f"if {name} were cleared for {', '.join(wanted)}"
            changed = _with(document, path, [*who["clearance"], *wanted])
            yield Change(words, f"/{party}/{kind}/clearance", changed, size=len(wanted))


def _trust(document: dict[str, Any]) -> Iterator[Change]:
    for party in ("subject", "resource"):
        app = document[party].get("app")
        if app is not None and app["trust"] in _TRUSTS[:-1]:
            more = _TRUSTS[_TRUSTS.index(app["trust"]) + 1]
            changed = _with(document, [party, "app", "trust"], more)
            yield Change(f"if the trust in {app['name']} were {more}", f"/{party}/app/trust", changed)


def _counts(document: dict[str, Any]) -> Iterator[Change]:
    context = document["context"]
    paths = [["context", "hop"], *(["context", "counts", name] for name in context["counts"])]
    for path in paths:
        count = _get(document, path)
        if isinstance(count, int) and count > 0:
            words = _count_words(document, path[-1], 0)
            yield Change(words, "/" + "/".join(path), _with(document, path, 0), count=count)


def _count_words(document: dict[str, Any], name: str, count: int) -> str:
    if name == "hop":
        return f"if the chain of calls had passed at most {count} spokes"
    sentence = _COUNTS.get(name, f"if the count {name} were at most {{n}}")
    return sentence.format(n=count, function=document["resource"]["id"])


def _with(document: Any, path: Any, value: Any) -> Any:
    """Return a document with one value put in place; what is beside the path is shared with the one given."""
    if not path:
        return value
    return {**document, path[0]: _with(document.get(path[0]), path[1:], value)}


def _get(document: Any, path: Any) -> Any:
    for step in path:
        document = document[step]
    return document


def _at(document: Any, pointer: str) -> Any:
    try:
        return JsonPointer(pointer).resolve(document, _ABSENT)
    except JsonPointerException:
        return _ABSENT


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")
