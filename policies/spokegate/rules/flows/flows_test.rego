package spokegate.rules.flows_test

import data.spokegate
import data.spokegate.rules.flows
import data.spokegate.testing

result_to_uncleared := {
	"code": "flows.result_to_uncleared",
	"message": "The result of archive.find carries health, which reader is not cleared for.",
	"rule": "spokegate.rules.flows",
}

caller_to_uncleared := {
	"code": "flows.caller_to_uncleared",
	"message": "reader carries health, which archive is not cleared for.",
	"rule": "spokegate.rules.flows",
}

own_egress := {
	"code": "flows.caller_to_uncleared",
	"message": "archive carries health, which archive is not cleared for.",
	"rule": "spokegate.rules.flows",
}

result := {"/resource/function/labels/confidentiality": ["contact", "health"]}

carried := {"/context/labels/confidentiality": ["contact", "health"]}

caller_clearance(tags) := {"/subject/app/clearance": tags}

target_clearance(tags) := {"/resource/app/clearance": tags}

returned := {"/action/name": "return"}

request(patches) := testing.patched_in_turn(testing.by_spoke, patches)

test_result_to_uncleared if {
	spokegate.decision == testing.denied([result_to_uncleared]) with input as request([
		result,
		caller_clearance(["contact"]),
	])
}

test_result_to_uncleared_at_the_return if {
	spokegate.decision == testing.denied([result_to_uncleared]) with input as request([
		result,
		caller_clearance(["contact"]),
		returned,
	])
}

test_result_to_uncleared_whatever_the_trust if {
	spokegate.decision == testing.denied([result_to_uncleared]) with input as request([
		result,
		caller_clearance(["contact"]),
		{"/subject/app/trust": "system", "/resource/app/trust": "system"},
	])
}

relabelling(labels) := {
	"type": "relabel",
	"on": "result",
	"confidentiality": labels,
	"integrity": [],
}

by_site(labels) := {"obligations": [relabelling(labels)], "settings": {"loosen": ["results.relabel"]}}

test_a_label_that_is_taken_off_needs_no_clearance[action] if {
	some action in {"invoke", "return"}
	asked := request([result, caller_clearance(["contact"]), {"/action/name": action}])
	decision := spokegate.decision with input as asked
		with spokegate.settings.relabel_results as {"archive.find": {"confidentiality": ["health"]}}
	decision.effect == "allow"
	decision.obligations == [relabelling(["health"]), testing.max_result_bytes]
}

test_a_label_that_the_site_takes_off_needs_no_clearance if {
	decision := spokegate.decision with input as request([result, caller_clearance(["contact"])])
		with data.site as by_site(["health"])
	decision.effect == "allow"
}

test_another_label_than_the_one_taken_off_needs_clearance if {
	decision := spokegate.decision with input as request([result, caller_clearance([])])
		with data.site as by_site(["health"])
	decision == testing.denied([object.union(
		result_to_uncleared,
		{"message": "The result of archive.find carries contact, which reader is not cleared for."},
	)])
}

test_what_is_taken_off_a_result_is_not_taken_off_the_arguments if {
	decision := spokegate.decision with input as request([carried, caller_clearance(["contact", "health"])])
		with data.site as by_site(["health", "contact"])
	decision.effect == "deny"
}

test_a_clearance_of_the_target_does_not_clear_the_caller if {
	spokegate.decision == testing.denied([result_to_uncleared]) with input as request([
		result,
		caller_clearance(["contact"]),
		target_clearance(["contact", "health"]),
	])
}

test_no_tag_clears_another_or_all[note] if {
	some note, tags in {
		"star": ["*", "contact"],
		"prefix": ["heal", "contact"],
		"another case": ["Health", "contact"],
		"longer": ["health:records", "contact"],
	}
	spokegate.decision == testing.denied([result_to_uncleared]) with input as request([
		result,
		caller_clearance(tags),
	])
}

test_result_to_a_cleared_app if {
	document := request([result, caller_clearance(["health", "contact", "more"])])
	expected := object.union(testing.delivered([testing.declared_read]), {"review_result": true})
	spokegate.decision == expected with input as document
}

test_result_to_a_cleared_app_at_the_return if {
	document := request([result, caller_clearance(["health", "contact"]), returned])
	spokegate.decision == testing.delivered([testing.reviewed]) with input as document
}

test_result_to_the_app_that_it_comes_from if {
	decision := spokegate.decision with input as request([testing.own, result])
	decision == testing.delivered(decision.reasons)
}

test_result_to_the_user[action] if {
	some action in {"invoke", "return"}
	decision := spokegate.decision with input as testing.patched_in_turn(
		testing.by_user,
		[result, {"/action/name": action}],
	)
	decision == testing.allowed(decision.reasons)
}

test_no_result_in_a_probe if {
	decision := spokegate.decision with input as request([result, {"/action/name": "probe"}])
	decision == testing.allowed(decision.reasons)
}

test_caller_to_uncleared if {
	spokegate.decision == testing.denied([caller_to_uncleared]) with input as request([
		carried,
		target_clearance(["contact"]),
	])
}

test_caller_to_uncleared_whatever_the_trust if {
	spokegate.decision == testing.denied([caller_to_uncleared]) with input as request([
		carried,
		target_clearance(["contact"]),
		{"/subject/app/trust": "system", "/resource/app/trust": "system"},
	])
}

test_a_clearance_of_the_caller_does_not_clear_the_target if {
	spokegate.decision == testing.denied([caller_to_uncleared]) with input as request([
		carried,
		caller_clearance(["contact", "health"]),
		target_clearance(["contact"]),
	])
}

test_caller_to_a_cleared_app if {
	document := request([carried, target_clearance(["contact", "health"])])
	spokegate.decision == testing.delivered([testing.declared_read]) with input as document
}

test_caller_within_its_app if {
	decision := spokegate.decision with input as request([testing.own, carried])
	decision == testing.delivered(decision.reasons)
}

test_caller_out_of_the_system_through_its_own_app if {
	spokegate.decision == testing.denied([own_egress]) with input as request([
		testing.own,
		carried,
		caller_clearance(["contact"]),
		target_clearance(["contact"]),
		{"/resource/function/egress": true},
	])
}

test_caller_out_of_the_system_through_its_own_cleared_app if {
	decision := spokegate.decision with input as request([
		testing.own,
		testing.write,
		carried,
		target_clearance(["contact", "health"]),
		{"/resource/function/egress": true},
	])
	decision == testing.delivered(decision.reasons)
}

test_nothing_flows_to_the_target_at_the_return if {
	document := request([carried, returned])
	spokegate.decision == testing.delivered([testing.reviewed]) with input as document
}

test_nothing_of_the_user_is_held_back if {
	document := testing.patched(testing.by_user, carried)
	spokegate.decision == testing.allowed([testing.user_call]) with input as document
}

test_both_directions_at_once if {
	reasons := [
		object.union(caller_to_uncleared, {"message": "reader carries contact, health, which archive is not cleared for."}),
		object.union(result_to_uncleared, {"message": concat("", [
			"The result of archive.find carries contact, health, ",
			"which reader is not cleared for.",
		])}),
	]
	spokegate.decision == testing.denied(reasons) with input as request([carried, result])
}

test_result_to_uncleared_where_it_is_not_known[pointer] if {
	some pointer in {"/subject", "/subject/app", "/subject/app/clearance", "/resource", "/resource/function/labels"}
	document := testing.without(request([result, caller_clearance(["contact", "health"])]), pointer)
	denials := flows.deny with input as document
	codes := {denial.code | some denial in denials}
	"flows.result_to_uncleared" in codes
}

test_caller_to_uncleared_where_it_is_not_known[pointer] if {
	some pointer in {"/subject", "/context", "/context/labels", "/resource", "/resource/app/clearance"}
	document := testing.without(request([carried, target_clearance(["contact", "health"])]), pointer)
	denials := flows.deny with input as document
	codes := {denial.code | some denial in denials}
	"flows.caller_to_uncleared" in codes
}

test_only_a_spoke_has_a_clearance if {
	document := request([result, carried, caller_clearance(["contact", "health"]), {"/subject/type": "planner"}])
	denials := flows.deny with input as testing.patched_in_turn(document, [target_clearance(["contact", "health"])])
	codes := {denial.code | some denial in denials}
	codes == {"flows.caller_to_uncleared", "flows.result_to_uncleared"}
}

test_only_a_spoke_is_within_an_app if {
	document := request([testing.own, result, carried, {"/subject/type": "planner"}])
	denials := flows.deny with input as document
	codes := {denial.code | some denial in denials}
	codes == {"flows.caller_to_uncleared", "flows.result_to_uncleared"}
}
