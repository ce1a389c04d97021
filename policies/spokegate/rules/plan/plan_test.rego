package spokegate.rules.plan_test

import data.spokegate
import data.spokegate.rules.plan
import data.spokegate.testing

unexpected := {
	"code": "plan.unexpected",
	"message": "reader is influenced by news, and the plan for the user's wish does not expect archive.find.",
	"rule": "spokegate.rules.plan",
}

# The wish needs mail alone.
mail_only := {"/context/plan": ["mail.read", "mail.search"]}

request(patches) := testing.patched_in_turn(testing.by_spoke, patches)

test_asked_about_what_the_plan_does_not_expect if {
	spokegate.decision == testing.asked([unexpected], testing.longer) with input as request([
		testing.influenced,
		mail_only,
	])
}

test_asked_with_an_empty_plan if {
	spokegate.decision == testing.asked([unexpected], testing.longer) with input as request([
		testing.influenced,
		{"/context/plan": []},
	])
}

test_asked_about_a_write_even_where_the_user_names_the_control_argument if {
	spokegate.decision == testing.asked([unexpected], testing.longer) with input as request([
		testing.write,
		testing.influenced,
		mail_only,
	])
}

test_asked_about_an_unexpected_write_of_an_expected_app if {
	spokegate.decision == testing.asked([unexpected], testing.longer) with input as request([
		testing.write,
		testing.influenced,
		{"/context/plan": ["archive.list"]},
	])
}

test_no_vote_on_an_unexpected_read_of_an_expected_app if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request([
		testing.influenced,
		{"/context/plan": ["archive.list"]},
	])
}

test_no_vote_on_what_the_plan_expects if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request([
		testing.influenced,
		{"/context/plan": ["archive.find"], "/context/planned": true},
	])
}

test_no_vote_without_a_plan if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request([testing.influenced])
}

test_no_vote_where_nothing_untrusted_has_influenced_the_caller if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request([mail_only])
}

test_no_vote_within_an_app if {
	decision := spokegate.decision with input as request([testing.own, testing.influenced, mail_only])
	decision.effect == "allow"
}

test_a_plan_allows_nothing_by_itself if {
	planned := {"/context/plan": ["archive.find"], "/context/planned": true}
	decision := spokegate.decision with input as request([testing.write, testing.foreign, planned])
	decision == testing.undecided(testing.for_good)
}

test_a_plan_is_no_reason_for_what_steers_under_influence if {
	planned := {"/context/plan": ["archive.find"], "/context/planned": true}
	decision := spokegate.decision with input as request([testing.write, testing.influenced, testing.foreign, planned])
	decision == testing.asked([testing.untrusted_control], testing.longer)
}

test_asked_where_the_plan_is_no_list[note] if {
	some note, value in {"null": null, "number": 7, "text": "archive.find", "object": {"archive.find": true}}
	asks := plan.ask with input as request([testing.influenced, {"/context/plan": value}])
	{ask.code | some ask in asks} == {"plan.unexpected"}
}

test_asked_where_it_is_not_known_what_the_function_does if {
	document := testing.without(request([testing.influenced, {"/context/plan": ["archive.list"]}]), "/resource/function")
	asks := plan.ask with input as document
	{ask.code | some ask in asks} == {"plan.unexpected"}
}

test_asked_where_the_labels_are_missing if {
	asks := plan.ask with input as testing.without(request([mail_only]), "/context/labels")
	{ask.message | some ask in asks} == {concat("", [
		"reader is influenced by something unknown, ",
		"and the plan for the user's wish does not expect archive.find.",
	])}
}
