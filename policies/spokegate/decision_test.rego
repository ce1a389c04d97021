package spokegate_test

import data.spokegate
import data.spokegate.testing

members := {
	"decided_by",
	"effect",
	"grant",
	"hidden",
	"obligations",
	"prompt",
	"reasons",
	"review_result",
	"shadow",
}

test_a_declared_read_is_allowed if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as testing.by_spoke
}

test_a_call_by_the_user_is_allowed if {
	spokegate.decision == testing.allowed([testing.user_call]) with input as testing.by_user
}

test_what_no_rule_decides_is_asked if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign])
	spokegate.decision == {
		"effect": "ask",
		"decided_by": "default",
		"grant": null,
		"hidden": false,
		"reasons": [{
			"code": "decision.undecided",
			"message": "No rule decides whether reader may use archive.find.",
			"rule": "spokegate",
		}],
		"obligations": [],
		"prompt": {
			"title": "Let reader use archive.find?",
			"detail": "No rule decides whether reader may use archive.find.",
			"scopes": testing.for_good,
			"until_seconds": 28800,
		},
		"review_result": false,
		"shadow": null,
	} with input as request
}

test_nothing_is_allowed_that_no_rule_allows_even_if_nobody_would_be_asked if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign])
	spokegate.decision == testing.denied([]) with input as request
		with spokegate.undecided as set()
}

test_an_ask_does_not_stand_beside_undecided if {
	request := testing.patched(testing.by_spoke, testing.irreversible)
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as request
}

test_a_deny_wins_over_ask_and_allow if {
	request := testing.patched_in_turn(testing.by_spoke, [
		testing.irreversible,
		{"/context/hop": 9, "/context/labels/confidentiality": ["health"]},
	])
	decision := spokegate.decision with input as request
	["budgets.hops", "flows.caller_to_uncleared"] == [reason.code | some reason in decision.reasons]
	decision == testing.denied(decision.reasons)
}

test_a_prompt_shows_no_value_of_an_argument if {
	request := testing.patched_in_turn(testing.by_spoke, [
		testing.write,
		testing.influenced,
		testing.foreign,
		{"/arguments": {"to": "click-here", "text": "click-here"}},
	])
	decision := spokegate.decision with input as request
	decision.effect == "ask"
	not contains(json.marshal(decision), "click-here")
}

test_defined_without_a_document if {
	object.keys(spokegate.decision) == members
	spokegate.decision.effect == "deny"
}

test_defined_for_the_empty_document if {
	decision := spokegate.decision with input as {}
	decision == testing.hidden(decision.reasons)
	[
		"registry.action_not_offered",
		"registry.malformed",
		"registry.unknown_function",
		"registry.unknown_subject",
		"registry.version",
	] == [reason.code | some reason in decision.reasons]
}

test_denied_whatever_the_document[note] if {
	some note, document in {
		"null": null,
		"true": true,
		"text": "input",
		"number": 1,
		"list": [testing.by_spoke],
		"another version": {"version": 2},
		"only a version": {"version": 1},
		"parts in words": {
			"version": 1,
			"subject": "spoke",
			"action": "invoke",
			"resource": "archive.find",
			"arguments": "none",
			"context": "none",
			"grants": "g1",
		},
		"parts in lists": {
			"version": [1],
			"subject": [],
			"action": [],
			"resource": [],
			"arguments": [],
			"context": [],
			"grants": [],
		},
		"parts of null": {
			"version": 1,
			"subject": null,
			"action": null,
			"resource": null,
			"arguments": null,
			"context": null,
			"grants": null,
		},
	}
	decision := spokegate.decision with input as document
	object.keys(decision) == members
	decision.effect == "deny"
	count(decision.reasons) > 0
	every reason in decision.reasons {
		startswith(reason.code, "registry.")
	}
}

# Pointers at everything in the access request.
parts contains pointer if {
	walk(testing.by_spoke, [path, _])
	count(path) > 0
	pointer := concat("", [step | some key in path; step := sprintf("/%v", [key])])
}

test_defined_whatever_part_is_null[pointer] if {
	some pointer in parts
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, {pointer: null})
	object.keys(decision) == members
}

test_defined_whatever_part_is_a_list[pointer] if {
	some pointer in parts
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, {pointer: [[]]})
	object.keys(decision) == members
}

test_defined_whatever_part_is_an_object[pointer] if {
	some pointer in parts
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, {pointer: {"x": {}}})
	object.keys(decision) == members
}

test_defined_whatever_part_is_a_number[pointer] if {
	some pointer in parts
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, {pointer: 7})
	object.keys(decision) == members
}

test_nothing_is_allowed_without_a_part_that_rules_look_at[pointer] if {
	some pointer in (parts - unused)
	decision := spokegate.decision with input as testing.without(testing.by_spoke, pointer)
	decision.effect == "deny"
}

# Facts that only a site's rules look at, or only what is asked about.
unused := {
	"/subject/roles",
	"/subject/app/digest",
	"/resource/app/digest",
	"/resource/app/asks",
	"/context/time",
	"/context/planned",
	"/context/chain",
	"/context/chain/0",
	"/context/chain/1",
	"/context/counts/prompts",
	"/context/counts/approved",
	"/context/counts/declined",
}

test_defined_whatever_part_of_a_connection_is_of_another_type[note] if {
	some note, value in {"null": null, "list": [[]], "object": {"x": {}}, "number": 7}
	every pointer in connection_parts {
		decision := spokegate.decision with input as testing.patched(testing.to_connect, {pointer: value})
		object.keys(decision) == members
	}
}

test_no_connection_is_allowed_without_a_part_that_rules_look_at[pointer] if {
	some pointer in (connection_parts - (unused | {"/arguments/method", "/subject/app/asks/0"}))
	decision := spokegate.decision with input as testing.without(testing.to_connect, pointer)
	decision.effect == "deny"
}

test_defined_whatever_part_of_a_request_to_the_model_is_of_another_type[note] if {
	some note, value in {"null": null, "list": [[]], "object": {"x": {}}, "number": 7}
	every pointer in generation_parts {
		decision := spokegate.decision with input as testing.patched(testing.to_generate, {pointer: value})
		object.keys(decision) == members
	}
}

test_the_model_is_not_asked_without_a_part_that_rules_look_at[pointer] if {
	some pointer in (generation_parts - (unused | irrelevant_to_models))
	decision := spokegate.decision with input as testing.without(testing.to_generate, pointer)
	decision.effect == "deny"
}

irrelevant_to_models := {
	"/arguments/model",
	"/arguments/messages",
	"/arguments/characters",
	"/arguments/tools",
	"/arguments/max_completion_tokens",
	"/subject/app/asks/0",
	"/resource/model/clearance/0",
}

generation_parts contains pointer if {
	walk(testing.to_generate, [path, _])
	count(path) > 0
	pointer := concat("", [step | some key in path; step := sprintf("/%v", [key])])
}

connection_parts contains pointer if {
	walk(testing.to_connect, [path, _])
	count(path) > 0
	pointer := concat("", [step | some key in path; step := sprintf("/%v", [key])])
}
