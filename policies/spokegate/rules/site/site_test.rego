package spokegate.rules.site_test

import data.spokegate
import data.spokegate.rules.site
import data.spokegate.testing

reason(part) := {
	"code": sprintf("site.%s", [part]),
	"message": sprintf("The site says %s.", [part]),
}

voted(part) := object.union(reason(part), {"rule": "site"})

malformed(part) := {
	"code": "site.malformed",
	"message": sprintf(
		"The site package contributes to %s something of another shape than it must have.",
		[part],
	),
	"rule": "spokegate.rules.site",
}

undecided := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign])

drop := {"type": "drop", "on": "arguments", "pointer": "/text"}

replaced := {"type": "replace", "on": "arguments", "pointer": "/limit", "replacement": 10}

relabelled := {"type": "relabel", "on": "result", "confidentiality": ["health"], "integrity": []}

notice := {"type": "notify", "on": "arguments", "message": "Mail went out."}

test_absent_by_default if {
	spokegate.decision == testing.undecided(testing.for_good) with input as undecided
}

test_an_empty_package_changes_nothing if {
	spokegate.decision == testing.undecided(testing.for_good) with input as undecided
		with data.site as {"deny": [], "ask": [], "allow": [], "obligations": [], "review_result": false}
}

test_what_has_another_name_has_no_vote if {
	spokegate.decision == testing.undecided(testing.for_good) with input as undecided
		with data.site as {"permit": [reason("permit")], "lists": {"deny": [reason("deny")]}}
}

test_deny if {
	spokegate.decision == testing.denied([voted("deny")]) with input as testing.by_spoke
		with data.site.deny as {reason("deny")}
}

test_deny_of_a_call_by_the_user if {
	spokegate.decision == testing.denied([voted("deny")]) with input as testing.by_user
		with data.site.deny as [reason("deny")]
}

test_deny_in_hiding if {
	spokegate.decision == testing.hidden([voted("deny")]) with input as testing.by_spoke
		with data.site.deny as {object.union(reason("deny"), {"hidden": true})}
}

test_ask if {
	spokegate.decision == testing.asked([voted("ask")], testing.for_good) with input as testing.by_spoke
		with data.site.ask as {reason("ask")}
}

test_allow_of_what_is_undecided if {
	spokegate.decision == testing.delivered([voted("allow")]) with input as undecided
		with data.site.allow as {reason("allow")}
}

test_allow_beside_a_rule if {
	spokegate.decision == testing.delivered([testing.declared_read, voted("allow")]) with input as testing.by_spoke
		with data.site.allow as {reason("allow")}
}

test_allow_does_not_answer_an_ask[note] if {
	some note, case in {
		"influence": {
			"request": testing.patched(undecided, testing.influenced),
			"reasons": [testing.untrusted_control],
			"scopes": testing.longer,
		},
		"irreversible": {
			"request": testing.patched(testing.by_spoke, testing.irreversible),
			"reasons": [testing.always_asked],
			"scopes": ["once"],
		},
	}
	spokegate.decision == testing.asked(case.reasons, case.scopes) with input as case.request
		with data.site.allow as {reason("allow")}
}

test_allow_does_not_lift_a_deny[note] if {
	some note, request in {
		"registry": testing.patched(testing.by_spoke, {"/action/name": "connect"}),
		"discovery": testing.patched(testing.by_spoke, {"/subject/app/asks": []}),
		"flows": testing.patched(testing.by_spoke, {"/context/labels/confidentiality": ["health"]}),
		"budgets": testing.patched(testing.by_spoke, {"/context/hop": 9}),
		"nothing": {},
	}
	decision := spokegate.decision with input as request
	spokegate.decision == decision with input as request
		with data.site.allow as {reason("allow")}
	decision.effect == "deny"
}

test_allow_does_not_lift_a_deny_or_ask_of_the_site if {
	denied := spokegate.decision with input as undecided
		with data.site as {"allow": {reason("allow")}, "deny": {reason("deny")}}
	denied == testing.denied([voted("deny")])

	asked := spokegate.decision with input as undecided
		with data.site as {"allow": {reason("allow")}, "ask": {reason("ask")}}
	asked == testing.asked([voted("ask")], testing.for_good)
}

test_obligations if {
	decision := spokegate.decision with input as testing.by_spoke
		with data.site.obligations as {drop, {"type": "max_result_bytes", "on": "result", "value": 10}}
	decision == object.union(testing.delivered([testing.declared_read]), {"obligations": [
		drop,
		{"type": "max_result_bytes", "on": "result", "value": 10},
		testing.max_result_bytes,
	]})
}

test_every_kind_of_obligation if {
	decision := spokegate.decision with input as testing.by_user
		with data.site as {"obligations": {replaced, relabelled, notice}, "settings": {"loosen": ["results.relabel"]}}
	decision == object.union(testing.allowed([testing.user_call]), {"obligations": [relabelled, notice, replaced]})
}

test_relabelling_that_is_not_named[note] if {
	some note, settings in {
		"no settings": {},
		"nothing loosened": {"loosen": []},
		"something else loosened": {"loosen": ["results.max_bytes"]},
	}
	decision := spokegate.decision with input as testing.by_user
		with data.site as {"obligations": [relabelled], "settings": settings}
	decision == testing.denied([{
		"code": "site.unnamed_relabelling",
		"message": concat(" ", [
			"The site package takes labels off the result of archive.find, which is looser than any rule,",
			"and its settings do not name results.relabel in loosen.",
		]),
		"rule": "spokegate.rules.site",
	}])
	given := site.obligations with input as testing.by_user
		with data.site as {"obligations": [relabelled, notice], "settings": settings}
	given == {notice}
}

test_obligations_for_the_user if {
	decision := spokegate.decision with input as testing.by_user
		with data.site.obligations as [drop]
	decision == object.union(testing.allowed([testing.user_call]), {"obligations": [drop]})
}

test_obligations_only_with_an_allow if {
	spokegate.decision == testing.undecided(testing.for_good) with input as undecided
		with data.site as {"obligations": {drop}, "review_result": true}
}

test_review_result if {
	decision := spokegate.decision with input as testing.by_user
		with data.site.review_result as true
	decision == object.union(testing.allowed([testing.user_call]), {"review_result": true})
}

test_review_result_cannot_be_switched_off if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as testing.by_spoke
		with data.site.review_result as false
}

test_malformed_reasons[note] if {
	some note, given in {
		"true": true,
		"false": false,
		"null": null,
		"text": "deny",
		"object": reason("x"),
		"object of them": {"x": reason("x")},
		"items in words": {"deny"},
		"no code": {object.remove(reason("x"), {"code"})},
		"no message": {object.remove(reason("x"), {"message"})},
		"message of another type": [object.union(reason("x"), {"message": 1})],
		"code of another topic": {object.union(reason("x"), {"code": "flows.caller_to_uncleared"})},
		"code of another type": {object.union(reason("x"), {"code": 7})},
		"hidden in words": {object.union(reason("x"), {"hidden": "yes"})},
		"one of two": [reason("x"), {}],
	}
	every part in ["deny", "ask", "allow"] {
		decision := spokegate.decision with input as testing.by_spoke
			with data.site as {part: given}
		malformed(part) in decision.reasons
		decision == testing.denied(decision.reasons)
	}
}

test_malformed_obligations[note] if {
	some note, given in {
		"true": true,
		"one": drop,
		"object of them": {"x": drop},
		"reasons": [reason("x")],
		"words": {"drop"},
		"unknown type": [object.union(drop, {"type": "encrypt"})],
		"unknown place": [object.union(drop, {"on": "prompt"})],
		"no place": [object.remove(drop, {"on"})],
		"no pointer": [object.remove(drop, {"pointer"})],
		"pointer at everything": [object.union(drop, {"pointer": ""})],
		"pointer of another type": [object.union(drop, {"pointer": 1})],
		"more than it must have": [object.union(drop, {"value": 1})],
		"cap on the arguments": [{"type": "max_result_bytes", "on": "arguments", "value": 1}],
		"cap in words": [{"type": "max_result_bytes", "on": "result", "value": "1"}],
		"cap below zero": [{"type": "max_result_bytes", "on": "result", "value": -1}],
		"cap within a byte": [{"type": "max_result_bytes", "on": "result", "value": 0.5}],
		"cap without value": [{"type": "max_result_bytes", "on": "result"}],
		"one of two": [drop, {}],
		"replacement by a list": [object.union(replaced, {"replacement": []})],
		"replacement by an object": [object.union(replaced, {"replacement": {}})],
		"no replacement": [object.remove(replaced, {"replacement"})],
		"replacement of the prompt": [object.union(replaced, {"on": "prompt"})],
		"replacement of everything": [object.union(replaced, {"pointer": ""})],
		"relabelled arguments": [object.union(relabelled, {"on": "arguments"})],
		"nothing relabelled": [object.union(relabelled, {"confidentiality": []})],
		"relabelled by a number": [object.union(relabelled, {"integrity": [1]})],
		"half relabelled": [object.remove(relabelled, {"integrity"})],
		"an empty notice": [object.union(notice, {"message": ""})],
		"a notice that never ends": [object.union(notice, {"message": sprintf("%0501d", [1])})],
		"a notice on the result": [object.union(notice, {"on": "result"})],
	}
	spokegate.decision == testing.denied([malformed("obligations")]) with input as testing.by_spoke
		with data.site as {"obligations": given}
}

test_malformed_review_result[note] if {
	some note, given in {"text": "true", "null": null, "number": 1, "reasons": [reason("x")]}
	spokegate.decision == testing.denied([malformed("review_result")]) with input as testing.by_spoke
		with data.site as {"review_result": given}
}

test_a_malformed_obligation_is_none if {
	contributed := site.obligations with data.site.obligations as [drop, {"type": "encrypt"}]
	contributed == {drop}
}
