package spokegate.rules.rate_test

import data.spokegate
import data.spokegate.rules.rate
import data.spokegate.testing

session := {
	"code": "rate.session",
	"message": "The session has made more than 600 calls within a minute.",
	"rule": "spokegate.rules.rate",
}

function := {
	"code": "rate.function",
	"message": "The session has asked for archive.find more than 240 times within a minute.",
	"rule": "spokegate.rules.rate",
}

test_session if {
	every document in [testing.by_spoke, testing.by_user] {
		request := testing.patched(document, {"/context/counts/session_minute": 601})
		spokegate.decision == testing.denied([session]) with input as request
	}
}

test_session_within_the_rate if {
	request := testing.patched(testing.by_spoke, {"/context/counts/session_minute": 600})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_function if {
	every document in [testing.by_spoke, testing.by_user] {
		request := testing.patched(document, {"/context/counts/function_minute": 241})
		spokegate.decision == testing.denied([function]) with input as request
	}
}

test_function_within_the_rate if {
	request := testing.patched(testing.by_spoke, {"/context/counts/function_minute": 240})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_a_result_is_not_held_back if {
	request := testing.patched(testing.by_spoke, {
		"/context/counts/session_minute": 601,
		"/context/counts/function_minute": 241,
		"/action/name": "return",
	})
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

test_rate_where_nothing_is_known if {
	denials := rate.deny with input as testing.without(testing.by_spoke, "/context")
	codes := {denial.code | some denial in denials}
	codes == {"rate.session", "rate.function"}
}
