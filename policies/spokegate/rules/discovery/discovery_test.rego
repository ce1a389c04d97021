package spokegate.rules.discovery_test

import data.spokegate
import data.spokegate.testing

undeclared := {
	"code": "discovery.undeclared",
	"message": "The manifest of reader does not declare that it asks for archive.find.",
	"rule": "spokegate.rules.discovery",
}

declared := {
	"code": "discovery.declared",
	"message": "The manifest of reader declares that it asks for archive.find, or it is its own.",
	"rule": "spokegate.rules.discovery",
}

user := {
	"code": "discovery.user",
	"message": "The user may know of every function.",
	"rule": "spokegate.rules.discovery",
}

probe := {"/action/name": "probe"}

test_undeclared[note] if {
	some note, asks in {
		"nothing": [],
		"another function": ["archive.erase"],
		"another app": ["mailbox.*"],
		"a shorter name": ["archive.fin"],
		"the app alone": ["archive"],
		"a pattern of no kind": ["archive.f*", "*.find", "**", "archive.find.*"],
		"another case": ["Archive.Find"],
	}
	every action in ["invoke", "probe", "return"] {
		spokegate.decision == testing.hidden([undeclared]) with input as testing.patched(
			testing.by_spoke,
			{"/subject/app/asks": asks, "/action/name": action},
		)
	}
}

test_the_target_may_not_declare_for_the_caller if {
	request := testing.patched(testing.by_spoke, {"/subject/app/asks": [], "/resource/app/asks": ["*"]})
	spokegate.decision == testing.hidden([undeclared]) with input as request
}

test_declared[note] if {
	some note, asks in {
		"the function": ["archive.find"],
		"the app": ["archive.*"],
		"all": ["*"],
		"among others": ["mailbox.read", "archive.find"],
	}
	spokegate.decision == testing.allowed([declared]) with input as testing.patched_in_turn(
		testing.by_spoke,
		[probe, {"/subject/app/asks": asks}],
	)
}

test_an_app_may_know_its_own_functions if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.own, probe])
	expected := {
		"code": "discovery.declared",
		"message": "The manifest of archive declares that it asks for archive.find, or it is its own.",
		"rule": "spokegate.rules.discovery",
	}
	spokegate.decision == testing.allowed([expected]) with input as request
}

test_the_user_may_know_every_function if {
	request := testing.patched(testing.by_user, probe)
	spokegate.decision == testing.allowed([user]) with input as request
}

test_what_a_probe_finds_may_be_irreversible_and_the_asker_influenced if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.irreversible, testing.influenced, probe])
	spokegate.decision == testing.allowed([declared]) with input as request
}

test_a_probe_is_no_call if {
	request := testing.patched_in_turn(testing.by_user, [testing.write, probe])
	spokegate.decision == testing.allowed([user]) with input as request
}
