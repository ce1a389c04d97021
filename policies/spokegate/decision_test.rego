package spokegate_test

import data.spokegate
import data.spokegate.testing

declared_read := {
	"code": "requests.declared_read",
	"message": "The manifest of reader declares that it asks for archive.find, which only reads.",
	"rule": "spokegate.rules.requests",
}

user_call := {
	"code": "direct.user_call",
	"message": "The user calls archive.find directly, and what it does can be undone.",
	"rule": "spokegate.rules.direct",
}

test_a_declared_read_is_allowed if {
	spokegate.decision == testing.delivered([declared_read]) with input as testing.by_spoke
}

test_a_call_by_the_user_is_allowed if {
	spokegate.decision == testing.allowed([user_call]) with input as testing.by_user
}
