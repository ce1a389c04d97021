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
	"caller_digest": "sha256:r",
	"target_digest": "sha256:f",
	"arguments_digest": "sha256:a",
	"labels": {"confidentiality": [], "integrity": ["news"]},
}

session := {
	"id": "g2",
	"scope": "session",
	"user": "alice",
	"session": "s1",
	"caller": "reader",
	"function": "archive.find",
	"caller_digest": "sha256:r",
	"target_digest": "sha256:f",
	"constraint": {"/to": "bob"},
	"labels": {"confidentiality": [], "integrity": ["news"]},
}

until := object.union(session, {"id": "g3", "scope": "until", "session": "s0", "expires": "2026-01-02T03:04:06Z"})

always := object.union(session, {
	"id": "g4",
	"scope": "always",
	"session": "s0",
	"labels": {"confidentiality": [], "integrity": []},
})

steered := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.influenced, testing.foreign])

asked(given) := testing.patched(steered, {"/grants": given})

# Nothing untrusted has influenced the caller, and no rule decides.
unsteered(given) := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign, {"/grants": given}])

covering(request) := ids if {
	# regal ignore:with-outside-test-context
	ids := grants.covering with input as request
}

test_once_covers_an_ask if {
	expected := testing.granted([testing.untrusted_control], "g1")
	spokegate.decision == expected with input as asked([once])
}

test_session_covers_an_ask if {
	expected := testing.granted([testing.untrusted_control], "g2")
	spokegate.decision == expected with input as asked([session])
}

for_another := testing.patched_in_turn(steered, [{"/context/chain": ["user", "helper", "reader"], "/context/hop": 2}])

test_no_grant_covers_what_another_app_has_the_caller_ask[note] if {
	some note, given in {
		"once": once,
		"session": session,
		"until": until,
		"with the chain that it was given for": object.union(session, {"chain": ["user", "reader"]}),
		"for a third one": object.union(session, {"chain": ["user", "other", "reader"]}),
	}
	covering(testing.patched(for_another, {"/grants": [given]})) == set()
}

test_a_grant_covers_those_who_had_a_part_in_its_request_and_fewer if {
	given := object.union(session, {"chain": ["user", "helper", "reader"]})
	covering(testing.patched(for_another, {"/grants": [given]})) == {"g2"}
	covering(asked([given])) == {"g2"}
}

test_no_grant_covers_a_request_of_nobody if {
	covering(testing.without(asked([session]), "/context/chain")) == set()
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
		{"/grants": [object.union(object.remove(once, {"caller_digest"}), {"caller": "user"})]},
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
		"caller": {"/caller": "mailbox"},
		"calling app": {"/caller_digest": "sha256:changed"},
		"function": {"/function": "archive.erase"},
		"serving app": {"/target_digest": "sha256:changed"},
		"scope": {"/scope": "forever"},
		"id": {"/id": 1},
	}
	every grant in [once, session, until] {
		spokegate.decision == testing.asked(
			[testing.untrusted_control],
			testing.longer,
		) with input as asked([testing.patched(grant, values)])
	}
	spokegate.decision == testing.undecided(testing.for_good) with input as unsteered([testing.patched(always, values)])
}

test_not_covered_by_a_grant_without[pointer] if {
	some pointer in {
		"/id",
		"/scope",
		"/user",
		"/caller",
		"/caller_digest",
		"/function",
		"/target_digest",
		"/labels",
		"/labels/integrity",
	}
	every grant in [once, session, until] {
		spokegate.decision == testing.asked(
			[testing.untrusted_control],
			testing.longer,
		) with input as asked([testing.without(grant, pointer)])
	}
}

test_always_does_not_cover_without[pointer] if {
	some pointer in {"/id", "/scope", "/user", "/caller", "/caller_digest", "/function", "/target_digest", "/constraint"}
	spokegate.decision == testing.undecided(testing.for_good) with input as unsteered([testing.without(always, pointer)])
}

test_not_covered_by_what_was_given_in_another_session if {
	every grant in [once, session] {
		count(covering(asked([object.union(grant, {"session": "s2"})]))) == 0
		count(covering(asked([object.remove(grant, {"session"})]))) == 0
	}
}

test_until_covers_an_ask_in_another_session if {
	spokegate.decision == testing.granted([testing.untrusted_control], "g3") with input as asked([until])
}

test_always_covers_what_is_undecided_in_another_session if {
	spokegate.decision == testing.granted([testing.undecided_reason], "g4") with input as unsteered([always])
}

test_until_does_not_cover_once_it_is_over[note] if {
	some note, end in {
		"this moment": "2026-01-02T03:04:05Z",
		"before": "2026-01-01T00:00:00Z",
		"in another zone": "2026-01-02T04:04:05+01:00",
		"no time": "tomorrow",
		"a number": 4000000000,
	}
	expected := testing.asked([testing.untrusted_control], testing.longer)
	spokegate.decision == expected with input as asked([object.union(until, {"expires": end})])
}

test_until_does_not_cover_without_a_time[note] if {
	some note, request in {
		"of its end": asked([object.remove(until, {"expires"})]),
		"of the request": testing.without(asked([until]), "/context/time"),
	}
	count(covering(request)) == 0
}

test_always_does_not_cover_an_influenced_caller if {
	given := object.union(always, {"labels": {"confidentiality": [], "integrity": ["news"]}})
	expected := testing.asked([testing.untrusted_control], testing.longer)
	spokegate.decision == expected with input as asked([given])
}

test_until_and_always_do_not_cover_more_labels[note] if {
	some note, values in {
		"integrity": {"/context/labels/integrity": ["mail", "news"]},
		"confidentiality": {"/context/labels/confidentiality": ["health"]},
	}
	count(covering(testing.patched(asked([until]), values))) == 0
	count(covering(testing.patched(unsteered([always]), values))) == 0
}

test_neither_until_nor_always_covers_an_irreversible_function if {
	request := testing.patched_in_turn(unsteered([until, always]), [testing.irreversible])
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as request
}

test_until_and_always_may_be_for_the_exact_arguments if {
	exact := {"arguments_digest": "sha256:a"}
	covering(asked([object.union(object.remove(until, {"constraint"}), exact)])) == {"g3"}
	covering(unsteered([object.union(object.remove(always, {"constraint"}), exact)])) == {"g4"}
}

test_session_may_be_for_the_exact_arguments if {
	exact := object.union(object.remove(session, {"constraint"}), {"arguments_digest": "sha256:a"})
	covering(asked([exact])) == {"g2"}
	count(covering(asked([object.union(exact, {"arguments_digest": "sha256:b"})]))) == 0
}

test_until_and_always_do_not_cover_other_arguments[note] if {
	some note, values in {
		"another value": {"constraint": {"/to": "eve"}},
		"another digest": {"arguments_digest": "sha256:b"},
		"another digest beside the right values": {"arguments_digest": "sha256:b", "constraint": {"/to": "bob"}},
	}
	count(covering(asked([object.union(until, values)]))) == 0
	count(covering(unsteered([object.union(always, values)]))) == 0
}

test_until_and_always_cover_nothing_unbound[note] if {
	some note, constraint in {"nothing": {}, "null": null}
	request := {"/resource/function/control_arguments": []}
	values := {"/constraint": constraint}
	count(covering(testing.patched(asked([testing.patched(until, values)]), request))) == 0
	count(covering(testing.patched(unsteered([testing.patched(always, values)]), request))) == 0
}

test_a_grant_covers_while_uses_are_left[note] if {
	some note, case in {
		"one": {"left": 1, "ids": {"g1", "g2", "g3"}},
		"many": {"left": 7, "ids": {"g1", "g2", "g3"}},
		"none": {"left": 0, "ids": set()},
		"fewer than none": {"left": -1, "ids": set()},
		"a text": {"left": "1", "ids": set()},
	}
	given := [object.union(grant, {"uses_left": case.left}) | some grant in [once, session, until]]
	covering(asked(given)) == case.ids
}

test_the_users_grant_is_no_apps if {
	of_user := object.union(object.remove(once, {"caller_digest"}), {"caller": "user"})
	request := testing.patched_in_turn(testing.by_user, [testing.irreversible, {"/grants": [of_user]}])
	covering(request) == {"g1"}
	with_digest := {"/grants": [object.union(of_user, {"caller_digest": "sha256:r"})]}
	count(covering(testing.patched(request, with_digest))) == 0
	count(covering(testing.patched(request, {"/subject/type": "planner"}))) == 0
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
		"another digest": object.union(once, {"scope": "session", "arguments_digest": "sha256:b"}),
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
		"integrity": {"/context/labels/integrity": ["mail", "news"]},
		"confidentiality": {"/context/labels/confidentiality": ["health"]},
	}
	every grant in [once, session] {
		covering := grants.covering with input as testing.patched(asked([grant]), values)
		count(covering) == 0
	}
}

test_a_label_of_one_kind_is_none_of_the_other if {
	request := testing.patched(asked([once, session]), {"/context/labels/confidentiality": ["news"]})
	covering := grants.covering with input as request
	count(covering) == 0
}

test_a_grant_covers_fewer_labels if {
	labels := {"confidentiality": ["health"], "integrity": ["mail", "news"]}
	covering := grants.covering with input as asked([
		testing.patched(once, {"/labels": labels}),
		testing.patched(session, {"/labels": labels}),
	])
	covering == {"g1", "g2"}
}

test_scopes[note] if {
	some note, case in {
		"control arguments present": {"values": {}, "scopes": testing.longer},
		"nothing untrusted": {"values": {"/context/labels/integrity": []}, "scopes": testing.for_good},
		"one absent": {
			"values": {"/resource/function/control_arguments": ["/to", "/cc"]},
			"scopes": ["once"],
		},
		"none declared": {
			"values": {"/resource/function/control_arguments": []},
			"scopes": testing.longer,
		},
		"irreversible": {
			"values": {"/resource/function/effect": "irreversible", "/context/labels/integrity": []},
			"scopes": ["once"],
		},
	}
	decision := spokegate.decision with input as testing.patched(asked([]), case.values)
	decision.prompt.scopes == case.scopes
}

test_what_is_on_offer_would_cover[scope] if {
	decision := spokegate.decision with input as unsteered([])
	some scope in decision.prompt.scopes
	grant := {"once": once, "session": session, "until": until, "always": always}[scope]
	answered := spokegate.decision with input as unsteered([grant])
	answered.decided_by == "grant"
}
