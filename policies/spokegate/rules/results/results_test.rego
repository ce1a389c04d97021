package spokegate.rules.results_test

import data.spokegate
import data.spokegate.testing

returned := {"/action/name": "return", "/result": {"hits": 3}}

test_reviewed if {
	request := testing.patched(testing.by_spoke, returned)
	spokegate.decision == testing.allowed_own([testing.reviewed]) with input as request
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
	spokegate.decision == testing.allowed_own([testing.reviewed]) with input as request
}

test_a_result_that_crosses_apps_is_reviewed if {
	decision := spokegate.decision with input as testing.by_spoke
	decision.review_result
}

test_a_result_within_an_app_is_not if {
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, testing.own)
	not decision.review_result
}

test_a_result_for_the_user_is_not if {
	decision := spokegate.decision with input as testing.by_user
	not decision.review_result
}

test_a_reviewed_result_is_not_reviewed_again if {
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, returned)
	not decision.review_result
}
