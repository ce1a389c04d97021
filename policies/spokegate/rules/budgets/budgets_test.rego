package spokegate.rules.budgets_test

import data.spokegate
import data.spokegate.rules.budgets
import data.spokegate.testing

hops := {
	"code": "budgets.hops",
	"message": "The chain of calls passes more than 8 spokes.",
	"rule": "spokegate.rules.budgets",
}

session := {
	"code": "budgets.session",
	"message": "The session has made more than 1000 calls.",
	"rule": "spokegate.rules.budgets",
}

function := {
	"code": "budgets.function",
	"message": "The session has asked for archive.find more than 500 times.",
	"rule": "spokegate.rules.budgets",
}

test_hops if {
	request := testing.patched(testing.by_spoke, {"/context/hop": 9})
	spokegate.decision == testing.denied([hops]) with input as request
}

test_hops_within_the_budget if {
	request := testing.patched(testing.by_spoke, {"/context/hop": 8})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_session if {
	every document in [testing.by_spoke, testing.by_user] {
		request := testing.patched(document, {"/context/counts/session": 1001})
		spokegate.decision == testing.denied([session]) with input as request
	}
}

test_session_within_the_budget if {
	request := testing.patched(testing.by_spoke, {"/context/counts/session": 1000})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_session_does_not_hold_back_the_result_of_its_last_request if {
	request := testing.patched(testing.by_spoke, {"/context/counts/session": 1001, "/action/name": "return"})
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

test_session_ends_with_a_probe_too if {
	request := testing.patched(testing.by_spoke, {"/context/counts/session": 1001, "/action/name": "probe"})
	spokegate.decision == testing.denied([session]) with input as request
}

test_function if {
	request := testing.patched(testing.by_spoke, {"/context/counts/function": 501})
	spokegate.decision == testing.denied([function]) with input as request
}

test_function_within_the_budget if {
	request := testing.patched(testing.by_spoke, {"/context/counts/function": 500})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_function_does_not_hold_back_the_result_of_its_last_call if {
	request := testing.patched(testing.by_spoke, {"/context/counts/function": 501, "/action/name": "return"})
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

test_budgets_where_nothing_is_known if {
	denials := budgets.deny with input as testing.without(testing.by_spoke, "/context")
	codes := {denial.code | some denial in denials}
	codes == {"budgets.function", "budgets.hops", "budgets.session"}
}
