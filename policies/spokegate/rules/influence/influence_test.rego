package spokegate.rules.influence_test

import data.spokegate
import data.spokegate.rules.influence
import data.spokegate.testing

confidential_egress := {
	"code": "influence.confidential_egress",
	"message": concat("", [
		"reader carries confidential data (health) and is influenced by news; ",
		"archive.find sends data out of the system, and where to is not the user's word.",
	]),
	"rule": "spokegate.rules.influence",
}

user_named_control := {
	"code": "influence.user_named_control",
	"message": concat("", [
		"reader is influenced by news, ",
		"but the user's own words say what archive.find is to act on.",
	]),
	"rule": "spokegate.rules.influence",
}

all_of_its_arguments := {
	"code": "influence.untrusted_control",
	"message": concat("", [
		"reader is influenced by news, and what steers archive.find (all of its arguments) ",
		"is not in the user's own words.",
	]),
	"rule": "spokegate.rules.influence",
}

# Cleared on both sides, so that no flow is in question.
confidential := {
	"/context/labels/confidentiality": ["health"],
	"/subject/app/clearance": ["health"],
	"/resource/app/clearance": ["health"],
}

egress := {"/resource/function/egress": true}

request(patches) := testing.patched_in_turn(testing.by_spoke, patches)

test_confidential_egress_of_an_unreviewed_app_even_where_the_user_names_the_control_argument if {
	spokegate.decision == testing.denied([confidential_egress]) with input as request([
		testing.write,
		testing.influenced,
		confidential,
		egress,
	])
}

test_confidential_egress_through_a_read if {
	spokegate.decision == testing.denied([confidential_egress]) with input as request([
		testing.influenced,
		confidential,
		egress,
	])
}

test_confidential_egress_through_the_own_app if {
	decision := spokegate.decision with input as request([testing.own, testing.influenced, confidential, egress])
	["influence.confidential_egress"] == [reason.code | some reason in decision.reasons]
	decision == testing.denied(decision.reasons)
}

test_confidential_egress_that_no_grant_covers if {
	decision := spokegate.decision with input as request([testing.influenced, confidential, egress, {"/grants": [{
		"id": "g1",
		"scope": "once",
		"user": "alice",
		"session": "s1",
		"caller": "reader",
		"function": "archive.find",
		"caller_digest": "sha256:r",
		"target_digest": "sha256:f",
		"arguments_digest": "sha256:a",
		"labels": {"integrity": ["news"], "confidentiality": ["health"]},
	}]}])
	decision == testing.denied([confidential_egress])
}

test_no_confidential_egress_without_influence if {
	spokegate.decision == testing.delivered([testing.directed_write]) with input as request([
		testing.write,
		confidential,
		egress,
	])
}

test_no_confidential_egress_without_confidential_data if {
	spokegate.decision == testing.delivered([user_named_control]) with input as request([
		testing.write,
		testing.influenced,
		egress,
	])
}

test_no_confidential_egress_where_nothing_leaves_the_system if {
	spokegate.decision == testing.delivered([user_named_control]) with input as request([
		testing.write,
		testing.influenced,
		confidential,
	])
}

test_no_confidential_egress_by_the_user if {
	document := testing.patched_in_turn(
		testing.by_user,
		[testing.influenced, egress, {"/context/labels/confidentiality": ["health"]}],
	)
	spokegate.decision == testing.allowed([testing.user_call]) with input as document
}

test_no_confidential_egress_in_a_probe_or_a_return[action] if {
	some action in {"probe", "return"}
	decision := spokegate.decision with input as request([
		testing.influenced,
		confidential,
		egress,
		{"/action/name": action},
	])
	decision.effect == "allow"
}

test_untrusted_control if {
	spokegate.decision == testing.asked([testing.untrusted_control], testing.longer) with input as request([
		testing.write,
		testing.influenced,
		testing.foreign,
	])
}

test_untrusted_control_without_provenance if {
	spokegate.decision == testing.asked([testing.untrusted_control], testing.longer) with input as request([
		testing.write,
		testing.influenced,
		{"/context/provenance": {}},
	])
}

test_untrusted_control_where_none_is_declared if {
	spokegate.decision == testing.asked([all_of_its_arguments], testing.longer) with input as request([
		testing.influenced,
		{"/resource/function/effect": "write"},
	])
}

test_untrusted_control_of_a_read_with_egress if {
	spokegate.decision == testing.asked([all_of_its_arguments], testing.longer) with input as request([
		testing.influenced,
		egress,
	])
}

test_untrusted_control_of_an_irreversible_function_without_any if {
	reasons := [all_of_its_arguments, testing.always_asked]
	spokegate.decision == testing.asked(reasons, ["once"]) with input as request([
		testing.influenced,
		{"/resource/function/effect": "irreversible"},
	])
}

test_no_untrusted_control_of_a_read if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request([
		testing.write,
		testing.influenced,
		testing.foreign,
		{"/resource/function/effect": "read"},
	])
}

test_no_untrusted_control_without_influence if {
	spokegate.decision == testing.undecided(testing.for_good) with input as request([
		testing.write,
		testing.foreign,
	])
}

test_no_untrusted_control_by_the_user if {
	document := testing.patched_in_turn(
		testing.by_user,
		[testing.write, testing.influenced, testing.foreign],
	)
	spokegate.decision == testing.allowed([testing.user_call]) with input as document
}

test_user_named_control if {
	spokegate.decision == testing.delivered([user_named_control]) with input as request([
		testing.write,
		testing.influenced,
	])
}

test_user_named_control_of_a_read_with_egress if {
	spokegate.decision == testing.delivered([user_named_control]) with input as request([
		testing.write,
		testing.influenced,
		egress,
		{"/resource/function/effect": "read"},
	])
}

test_user_named_control_does_not_decide_on_an_irreversible_function if {
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as request([
		testing.irreversible,
		testing.influenced,
	])
}

test_user_named_control_is_no_reason_for_a_read if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request([
		testing.write,
		testing.influenced,
		{"/resource/function/effect": "read"},
	])
}

test_user_named_control_is_no_reason_for_a_probe_or_a_return[action] if {
	some action in {"probe", "return"}
	decision := spokegate.decision with input as request([
		testing.write,
		testing.influenced,
		{"/action/name": action},
	])
	not user_named_control in decision.reasons
}

test_confidential_egress_where_it_is_not_known[pointer] if {
	some pointer in {
		"/context",
		"/context/labels",
		"/context/labels/integrity",
		"/context/labels/confidentiality",
		"/resource/function/egress",
	}
	document := testing.without(request([testing.influenced, confidential, egress]), pointer)
	denials := influence.deny with input as document
	codes := {denial.code | some denial in denials}
	codes == {"influence.confidential_egress"}
}

test_untrusted_control_where_it_is_not_known[pointer] if {
	some pointer in {
		"/context",
		"/context/labels/integrity",
		"/context/provenance",
		"/arguments",
		"/resource",
		"/resource/function/effect",
		"/resource/function/control_arguments",
	}
	document := testing.without(request([testing.write, testing.influenced, testing.foreign]), pointer)
	asks := influence.ask with input as document
	codes := {ask.code | some ask in asks}
	codes == {"influence.untrusted_control"}
}

test_no_allow_of_what_another_names if {
	allows := influence.allow with input as request([testing.write, testing.influenced, testing.foreign])
	count(allows) == 0
}

test_no_allow_of_what_cannot_be_undone if {
	allows := influence.allow with input as request([testing.irreversible, testing.influenced])
	count(allows) == 0
}
