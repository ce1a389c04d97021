package spokegate.rules.fatigue_test

import data.spokegate
import data.spokegate.rules.fatigue
import data.spokegate.testing

prompts := {
	"code": "fatigue.prompts",
	"message": concat("", [
		"A person has been asked 20 times in this session, ",
		"so reader is refused instead of asking again.",
	]),
	"rule": "spokegate.rules.fatigue",
}

worn := {"/context/counts/prompts": 20}

steered := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.influenced, testing.foreign])

undecided := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign])

test_prompts_in_the_place_of_one_more_question if {
	expected := testing.denied([prompts, testing.untrusted_control])
	spokegate.decision == expected with input as testing.patched(steered, worn)
}

test_prompts_where_no_rule_decides if {
	expected := testing.denied([testing.undecided_reason, prompts])
	spokegate.decision == expected with input as testing.patched(undecided, worn)
}

test_one_question_less_is_asked if {
	request := testing.patched(steered, {"/context/counts/prompts": 19})
	spokegate.decision == testing.asked([testing.untrusted_control], testing.longer) with input as request
}

test_prompts_do_not_hold_back_what_a_rule_allows if {
	request := testing.patched(testing.by_spoke, worn)
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_prompts_do_not_hold_back_what_a_grant_covers if {
	grant := {
		"id": "g1",
		"scope": "once",
		"user": "alice",
		"session": "s1",
		"caller": "reader",
		"function": "archive.find",
		"caller_digest": "sha256:r",
		"target_digest": "sha256:f",
		"arguments_digest": "sha256:a",
		"labels": {"confidentiality": [], "integrity": ["news"]},
	}
	request := testing.patched_in_turn(steered, [worn, {"/grants": [grant]}])
	spokegate.decision == testing.granted([testing.untrusted_control], "g1") with input as request
}

test_prompts_are_no_reason_in_another_deny if {
	request := testing.patched_in_turn(steered, [worn, {"/context/hop": 9}])
	decision := spokegate.decision with input as request
	decision == testing.denied(decision.reasons)
	["budgets.hops"] == [reason.code | some reason in decision.reasons]
}

test_prompts_do_not_hold_back_the_user if {
	request := testing.patched_in_turn(testing.by_user, [testing.irreversible, worn])
	decision := spokegate.decision with input as request
	decision.effect == "ask"
	decision.reasons == [testing.always_asked]
}

declined := {
	"code": "fatigue.declined",
	"message": "A person has said no to just this request of reader, and the user has said nothing since.",
	"rule": "spokegate.rules.fatigue",
}

test_declined_in_the_place_of_the_same_question_again if {
	expected := testing.denied([declined, testing.untrusted_control])
	spokegate.decision == expected with input as testing.patched(steered, {"/context/counts/declined": 1})
}

test_declined_does_not_hold_back_what_a_rule_allows if {
	request := testing.patched(testing.by_spoke, {"/context/counts/declined": 1})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_declined_does_not_hold_back_the_user if {
	request := testing.patched_in_turn(testing.by_user, [testing.irreversible, {"/context/counts/declined": 1}])
	decision := spokegate.decision with input as request
	decision.effect == "ask"
	decision.reasons == [testing.always_asked]
}

test_prompts_where_they_are_not_known[pointer] if {
	some pointer, expected in {
		"/context": {"fatigue.declined", "fatigue.prompts"},
		"/context/counts": {"fatigue.declined", "fatigue.prompts"},
		"/context/counts/prompts": {"fatigue.prompts"},
		"/context/counts/declined": {"fatigue.declined"},
	}
	denials := fatigue.deny with input as testing.without(steered, pointer)
	codes := {denial.code | some denial in denials}
	codes == expected
}
