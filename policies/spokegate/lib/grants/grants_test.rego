package spokegate.lib.grants_test

import data.spokegate
import data.spokegate.lib.grants
import data.spokegate.testing

once := {
	"id": "g1",
	"scope": "once",
	"user": "alice",
	"session": "s1",
	"caller": "reader",
	"function": "archive.find",
	"arguments_digest": "sha256:a",
	"labels": {"confidentiality": [], "integrity": ["web"]},
}

session := {
	"id": "g2",
	"scope": "session",
	"user": "alice",
	"session": "s1",
	"caller": "reader",
	"function": "archive.find",
	"constraint": {"/to": "bob"},
	"labels": {"confidentiality": [], "integrity": ["web"]},
}

steered := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.influenced, testing.foreign])

asked(given) := testing.patched(steered, {"/grants": given})

test_once_covers_an_ask if {
	expected := testing.granted([testing.untrusted_control], "g1")
	spokegate.decision == expected with input as asked([once])
}

test_session_covers_an_ask if {
	expected := testing.granted([testing.untrusted_control], "g2")
	spokegate.decision == expected with input as asked([session])
}

test_the_first_of_several_is_named if {
	expected := testing.granted([testing.untrusted_control], "g1")
	spokegate.decision == expected with input as asked([session, once])
}

test_any_of_several_will_do if {
	expected := testing.granted([testing.untrusted_control], "g2")
	spokegate.decision == expected with input as asked([object.union(once, {"user": "eve"}), session])
}

test_once_covers_what_is_undecided if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign, {"/grants": [once]}])
	spokegate.decision == testing.granted([testing.undecided_reason], "g1") with input as request
}

test_once_covers_an_irreversible_function if {
	request := testing.patched_in_turn(asked([once]), [testing.irreversible])
	spokegate.decision == testing.granted([testing.always_asked], "g1") with input as request
}

test_once_covers_the_user_too if {
	request := testing.patched_in_turn(testing.by_user, [
		testing.irreversible,
		{"/grants": [object.union(once, {"caller": "user"})]},
	])
	expected := object.union(testing.allowed([testing.always_asked]), {"decided_by": "grant", "grant": "g1"})
	spokegate.decision == expected with input as request
}

test_session_does_not_cover_an_irreversible_function if {
	request := testing.patched_in_turn(asked([session]), [testing.irreversible])
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as request
}

test_no_grant_covers_a_deny if {
	request := testing.patched(asked([once, session]), {"/version": 2})
	decision := spokegate.decision with input as request
	decision == testing.denied(decision.reasons)
}

test_a_grant_is_not_named_where_a_rule_allows if {
	request := testing.patched(testing.by_spoke, {"/grants": [testing.patched(session, {"/constraint": {}})]})
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
}

test_not_covered_by_a_grant_of_another[note] if {
	some note, values in {
		"user": {"/user": "eve"},
		"session": {"/session": "s2"},
		"caller": {"/caller": "mailbox"},
		"function": {"/function": "archive.erase"},
		"scope": {"/scope": "always"},
		"id": {"/id": 1},
	}
	every grant in [once, session] {
		spokegate.decision == testing.asked(
			[testing.untrusted_control],
			["once", "session"],
		) with input as asked([testing.patched(grant, values)])
	}
}

test_not_covered_by_a_grant_without[pointer] if {
	some pointer in {"/id", "/scope", "/user", "/session", "/caller", "/function", "/labels", "/labels/integrity"}
	every grant in [once, session] {
		spokegate.decision == testing.asked(
			[testing.untrusted_control],
			["once", "session"],
		) with input as asked([testing.without(grant, pointer)])
	}
}

test_not_covered_once[note] if {
	some note, grant in {
		"other arguments": object.union(once, {"arguments_digest": "sha256:b"}),
		"no arguments": object.remove(once, {"arguments_digest"}),
		"a constraint will not do": object.union(session, {"scope": "once"}),
	}
	covering := grants.covering with input as asked([grant])
	count(covering) == 0
}

test_not_covered_for_the_session[note] if {
	some note, grant in {
		"another value": object.union(session, {"constraint": {"/to": "eve"}}),
		"another type": object.union(session, {"constraint": {"/to": ["bob"]}}),
		"another value beside": object.union(session, {"constraint": {"/text": "bye"}}),
		"an absent argument beside": object.union(session, {"constraint": {"/cc": null}}),
		"a pointer at nothing beside": object.union(session, {"constraint": {"to": "bob"}}),
		"only another argument": testing.patched(session, {"/constraint": {"/text": "hello"}}),
		"nothing": testing.patched(session, {"/constraint": {}}),
		"no constraint": object.remove(session, {"constraint"}),
		"the digest will not do": object.union(once, {"scope": "session"}),
		"a constraint of another type": testing.patched(session, {"/constraint": ["/to"]}),
	}
	covering := grants.covering with input as asked([grant])
	count(covering) == 0
}

test_a_constraint_must_name_every_control_argument if {
	request := testing.patched(asked([session]), {"/resource/function/control_arguments": ["/to", "/text"]})
	covering := grants.covering with input as request
	count(covering) == 0
}

test_a_constraint_may_name_more if {
	covering := grants.covering with input as asked([object.union(session, {"constraint": {"/text": "hello"}})])
	covering == {"g2"}
}

test_a_constraint_may_name_what_is_false_or_null[note] if {
	some note, value in {"false": false, "null": null, "list": ["a", {"b": 1}]}
	request := testing.patched(
		asked([testing.patched(session, {"/constraint": {"/to": value}})]),
		{"/arguments/to": value},
	)
	covering := grants.covering with input as request
	covering == {"g2"}
}

test_session_covers_any_arguments_where_none_is_a_control_argument[note] if {
	some note, grant in {
		"nothing": testing.patched(session, {"/constraint": {}}),
		"no constraint": object.remove(session, {"constraint"}),
	}
	request := testing.patched(asked([grant]), {"/resource/function/control_arguments": []})
	covering := grants.covering with input as request
	covering == {"g2"}
}

test_a_grant_does_not_cover_more_labels[note] if {
	some note, values in {
		"integrity": {"/context/labels/integrity": ["mail", "web"]},
		"confidentiality": {"/context/labels/confidentiality": ["health"]},
	}
	every grant in [once, session] {
		covering := grants.covering with input as testing.patched(asked([grant]), values)
		count(covering) == 0
	}
}

test_a_label_of_one_kind_is_none_of_the_other if {
	request := testing.patched(asked([once, session]), {"/context/labels/confidentiality": ["web"]})
	covering := grants.covering with input as request
	count(covering) == 0
}

test_a_grant_covers_fewer_labels if {
	labels := {"confidentiality": ["health"], "integrity": ["mail", "web"]}
	covering := grants.covering with input as asked([
		testing.patched(once, {"/labels": labels}),
		testing.patched(session, {"/labels": labels}),
	])
	covering == {"g1", "g2"}
}

test_scopes[note] if {
	some note, case in {
		"control arguments present": {"values": {}, "scopes": ["once", "session"]},
		"one absent": {
			"values": {"/resource/function/control_arguments": ["/to", "/cc"]},
			"scopes": ["once"],
		},
		"none declared": {
			"values": {"/resource/function/control_arguments": []},
			"scopes": ["once", "session"],
		},
		"irreversible": {"values": {"/resource/function/effect": "irreversible"}, "scopes": ["once"]},
	}
	decision := spokegate.decision with input as testing.patched(asked([]), case.values)
	decision.prompt.scopes == case.scopes
}

test_what_is_on_offer_would_cover[scope] if {
	decision := spokegate.decision with input as asked([])
	some scope in decision.prompt.scopes
	grant := {"once": once, "session": session}[scope]
	answered := spokegate.decision with input as asked([grant])
	answered.decided_by == "grant"
}
