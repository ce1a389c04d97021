package spokegate.rules.requests_test

import data.spokegate
import data.spokegate.rules.requests
import data.spokegate.testing

test_declared_read if {
	spokegate.decision == testing.delivered([testing.declared_read]) with input as testing.by_spoke
}

test_declared_read_of_an_influenced_caller if {
	request := testing.patched(testing.by_spoke, testing.influenced)
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_an_app_may_read_with_its_own_functions if {
	request := testing.patched(testing.by_spoke, testing.own)
	expected := object.union(testing.declared_read, {"message": concat("", [
		"The manifest of archive declares that it asks for archive.find, ",
		"which only reads.",
	])})
	spokegate.decision == testing.delivered([expected]) with input as request
}

test_a_read_with_egress_is_no_declared_read if {
	request := testing.patched(testing.by_spoke, {"/resource/function/egress": true})
	spokegate.decision == testing.undecided(testing.for_good) with input as request
}

test_a_write_is_no_declared_read if {
	request := testing.patched(testing.by_spoke, {"/resource/function/effect": "write"})
	spokegate.decision == testing.undecided(testing.for_good) with input as request
}

test_user_directed_write if {
	request := testing.patched(testing.by_spoke, testing.write)
	spokegate.decision == testing.delivered([testing.directed_write]) with input as request
}

test_user_directed_read_with_egress if {
	request := testing.patched_in_turn(testing.by_spoke, [
		testing.write,
		{"/resource/function/effect": "read", "/resource/function/egress": true},
	])
	spokegate.decision == testing.delivered([testing.directed_write]) with input as request
}

test_a_read_that_the_user_directs_is_no_write if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, {"/resource/function/effect": "read"}])
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_an_irreversible_function_is_no_user_directed_write if {
	request := testing.patched(testing.by_spoke, testing.irreversible)
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as request
}

test_no_user_directed_write[note] if {
	some note, values in {
		"another's words": testing.foreign,
		"no provenance": {"/context/provenance": {}},
		"one of two": {"/resource/function/control_arguments": ["/to", "/text"]},
	}
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, values])
	spokegate.decision == testing.undecided(testing.for_good) with input as request
}

test_no_user_directed_write_without_a_control_argument[note] if {
	some note, case in {
		"none is declared": {"controls": [], "scopes": testing.for_good},
		"none is present": {"controls": ["/cc"], "scopes": ["once"]},
	}
	request := testing.patched_in_turn(testing.by_spoke, [
		testing.write,
		{"/resource/function/control_arguments": case.controls},
	])
	spokegate.decision == testing.undecided(case.scopes) with input as request
}

reviewed := {"/subject/app/trust": "reviewed", "/context/called_for": true}

there := {"/context/provenance": {"/to": {"user": false, "from": ["archive.list"], "identifier_of": ["archive.list"]}}}

known_control := {
	"code": "requests.known_control",
	"message": concat("", [
		"Nothing untrusted has influenced reader, which is reviewed, the user calls for archive.find, and what it is to ",
		"act on is what they said or is known to be there.",
	]),
	"rule": "spokegate.rules.requests",
}

test_write_to_what_is_there if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, there, reviewed])
	spokegate.decision == testing.delivered([known_control]) with input as request
}

test_write_to_what_is_there_by_the_plan if {
	request := testing.patched_in_turn(testing.by_spoke, [
		testing.write,
		there,
		{"/subject/app/trust": "reviewed", "/context/planned": true},
	])
	spokegate.decision == testing.delivered([known_control]) with input as request
}

test_a_write_that_the_user_directs_has_one_reason if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, reviewed])
	spokegate.decision == testing.delivered([testing.directed_write]) with input as request
}

test_no_write_to_what_is_there[note] if {
	some note, values in {
		"by an unreviewed app": {"/subject/app/trust": "unreviewed"},
		"that the user does not call for": {"/context/called_for": false},
		"known to no function": {"/context/provenance/~1to/identifier_of": []},
		"merely returned": {"/context/provenance": {"/to": {"user": false, "from": ["archive.list"]}}},
		"one of two": {"/resource/function/control_arguments": ["/to", "/text"]},
	}
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, there, reviewed, values])
	spokegate.decision == testing.undecided(testing.for_good) with input as request
}

test_no_allow_of_what_is_there[note] if {
	some note, values in {
		"a probe": {"/action/name": "probe"},
		"undeclared": {"/subject/app/asks": []},
		"irreversible": {"/resource/function/effect": "irreversible"},
		"influenced": testing.influenced,
	}
	allows := requests.allow with input as testing.patched_in_turn(
		testing.by_spoke,
		[testing.write, there, reviewed, values],
	)
	count(allows) == 0
}

test_no_allow_of_a_write_that_is_not_offered[note] if {
	some note, values in {
		"undeclared": {"/subject/app/asks": []},
		"probe": {"/action/name": "probe"},
		"return": {"/action/name": "return"},
		"irreversible": {"/resource/function/effect": "irreversible"},
		"unknown effect": {"/resource/function/effect": "execute"},
	}
	allows := requests.allow with input as testing.patched_in_turn(testing.by_spoke, [testing.write, values])
	count(allows) == 0
}

test_no_allow_of_an_undeclared_read if {
	allows := requests.allow with input as testing.patched(testing.by_spoke, {"/subject/app/asks": []})
	count(allows) == 0
}
