package spokegate.rules.results_test

import data.spokegate
import data.spokegate.rules.results
import data.spokegate.testing

returned := {"/action/name": "return", "/result": {"hits": 3}}

test_reviewed if {
	request := testing.patched(testing.by_spoke, returned)
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

test_reviewed_for_the_user if {
	request := testing.patched(testing.by_user, returned)
	expected := object.union(
		testing.reviewed,
		{"message": "The result of archive.find may be delivered to the user."},
	)
	spokegate.decision == testing.allowed([expected]) with input as request
}

test_a_null_result_is_left_out_of_the_document if {
	request := testing.patched(testing.by_spoke, {"/action/name": "return"})
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

confidential := {
	"/resource/function/labels/confidentiality": ["health"],
	"/subject/app/clearance": ["health"],
}

test_a_confidential_result_that_crosses_apps_is_reviewed if {
	expected := object.union(testing.delivered([testing.declared_read]), {"review_result": true})
	spokegate.decision == expected with input as testing.patched(testing.by_spoke, confidential)
}

test_a_result_without_confidential_data_is_not if {
	request := testing.patched(testing.by_spoke, {"/resource/function/labels/integrity": ["news"]})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_a_confidential_result_within_an_app_is_not if {
	decision := spokegate.decision with input as testing.patched_in_turn(testing.by_spoke, [
		testing.own,
		confidential,
	])
	decision == testing.delivered(decision.reasons)
}

test_a_confidential_result_for_the_user_is_not if {
	request := testing.patched_in_turn(testing.by_spoke, [confidential, {"/subject": testing.by_user.subject}])
	spokegate.decision == testing.allowed([testing.user_call]) with input as request
}

test_a_reviewed_result_is_not_reviewed_again if {
	request := testing.patched_in_turn(testing.by_spoke, [confidential, returned])
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

test_a_result_of_unknown_labels_is_reviewed if {
	results.review_result with input as testing.without(testing.by_spoke, "/resource/function/labels")
}
