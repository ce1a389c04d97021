package spokegate.rules.registry_test

import data.spokegate
import data.spokegate.testing

reason(code, message) := {"code": code, "message": message, "rule": "spokegate.rules.registry"}

version := reason("registry.version", "The access request is not of version 1.")

malformed := reason(
	"registry.malformed",
	"The access request lacks a part that the rules look at, or has one of another type.",
)

unknown_subject := reason(
	"registry.unknown_subject",
	"The subject is neither a user nor a planner nor a spoke with its app.",
)

subject_mismatch := reason("registry.subject_mismatch", "The asking spoke is not named like its app.")

action_not_offered := reason(
	"registry.action_not_offered",
	"No rule offers this action to this kind of subject.",
)

unknown_function := reason("registry.unknown_function", "No app offers the function that was asked for.")

function_mismatch := reason(
	"registry.function_mismatch",
	"The function that was asked for is not named like the app and the function that would serve it.",
)

unknown_trust := reason("registry.unknown_trust", "An app in the access request has no known trust.")

malformed_app := reason(
	"registry.malformed_app",
	"What is known of an app in the access request lacks its clearance, its asks or its egress.",
)

unknown_effect := reason(
	"registry.unknown_effect",
	"It is not known what archive.find does to the world.",
)

malformed_function := reason(
	"registry.malformed_function",
	"What is known of archive.find lacks its egress, its control arguments or its labels.",
)

test_version[note] if {
	some note, request in {
		"missing": testing.without(testing.by_spoke, "/version"),
		"later": testing.patched(testing.by_spoke, {"/version": 2}),
		"text": testing.patched(testing.by_spoke, {"/version": "1"}),
		"null": testing.patched(testing.by_spoke, {"/version": null}),
	}
	spokegate.decision == testing.denied([version]) with input as request
}

needed := {
	"/subject/id", "/subject/user", "/arguments", "/grants",
	"/context", "/context/session", "/context/hop", "/context/counts", "/context/counts/session",
	"/context/provenance", "/context/arguments_digest", "/context/labels",
	"/context/labels/confidentiality", "/context/labels/integrity",
}

test_malformed_when_a_part_is_missing[pointer] if {
	some pointer in needed
	spokegate.decision == testing.denied([malformed]) with input as testing.without(testing.by_user, pointer)
}

test_malformed_when_a_part_is_null[pointer] if {
	some pointer in needed
	request := testing.patched(testing.by_user, {pointer: null})
	spokegate.decision == testing.denied([malformed]) with input as request
}

test_malformed_when_a_part_is_of_another_type[pointer] if {
	some pointer in needed
	request := testing.patched(testing.by_user, {pointer: true})
	spokegate.decision == testing.denied([malformed]) with input as request
}

test_malformed_provenance[note] if {
	some note, known in {
		"no object": true,
		"the user in words": {"user": "true", "from": []},
		"no sources": {"user": true},
		"a source in words": {"user": true, "from": "news.read"},
		"a share in words": {"user": false, "from": [], "user_share": "0.9"},
		"a source in words that has it as a leaf": {"user": false, "from": [], "leaf_of": "news.read"},
		"a source in words that lists it": {"user": false, "from": [], "identifier_of": "news.read"},
		"a link in words": {"user": false, "from": [], "links": "www.evil.example"},
		"a named source without labels": {"user": false, "from": [], "named_source": {"integrity": []}},
	}
	request := testing.patched(testing.by_user, {"/context/provenance": {
		"/text": {"user": true, "from": []},
		"/to": known,
	}})
	spokegate.decision == testing.denied([malformed]) with input as request
}

test_sound_provenance if {
	request := testing.patched(testing.by_user, {"/context/provenance": {"/to": {
		"user": false,
		"from": ["news.read"],
		"user_share": 0.5,
		"leaf_of": ["news.read"],
		"identifier_of": ["news.read"],
		"links": ["www.evil.example"],
		"named_source": {"confidentiality": [], "integrity": ["news"]},
	}}})
	spokegate.decision == testing.allowed([testing.user_call]) with input as request
}

test_unknown_subject[note] if {
	some note, case in {
		"no app": {
			"request": testing.without(testing.by_spoke, "/subject/app"),
			"codes": ["registry.subject_mismatch", "registry.unknown_subject"],
		},
		"no type": {
			"request": testing.without(testing.by_spoke, "/subject/type"),
			"codes": ["registry.action_not_offered", "registry.unknown_subject"],
		},
		"another type": {
			"request": testing.patched(testing.by_spoke, {"/subject/type": "hub"}),
			"codes": ["registry.action_not_offered", "registry.unknown_subject"],
		},
		"no subject": {
			"request": testing.without(testing.by_spoke, "/subject"),
			"codes": ["registry.action_not_offered", "registry.malformed", "registry.unknown_subject"],
		},
	}
	decision := spokegate.decision with input as case.request
	case.codes == [reason.code | some reason in decision.reasons]
	unknown_subject in decision.reasons
	decision == testing.hidden(decision.reasons)
}

test_unknown_subject_when_the_app_is_no_object if {
	request := testing.patched(testing.by_spoke, {"/subject/app": "reader"})
	expected := testing.hidden([malformed_app, subject_mismatch, unknown_subject, unknown_trust])
	spokegate.decision == expected with input as request
}

test_subject_mismatch if {
	request := testing.patched(testing.by_spoke, {"/subject/id": "archive"})
	spokegate.decision == testing.denied([subject_mismatch]) with input as request
}

test_subject_mismatch_is_of_no_concern_to_the_user if {
	request := testing.patched(testing.by_user, {"/subject/id": "alice"})
	spokegate.decision == testing.allowed([testing.user_call]) with input as request
}

test_reserved_name[name] if {
	some name in {"user", "planner", "hub"}
	expected := testing.denied([reason(
		"registry.reserved_name",
		"The asking app has the name of a subject that is no app, and could pass for it in a grant.",
	)])
	spokegate.decision == expected with input as testing.patched(
		testing.by_spoke,
		{"/subject/id": name, "/subject/app/name": name},
	)
}

test_no_other_name_is_reserved if {
	decision := spokegate.decision with input as testing.patched(
		testing.by_spoke,
		{"/subject/id": "users", "/subject/app/name": "users"},
	)
	decision == testing.delivered(decision.reasons)
}

test_action_not_offered[note] if {
	some note, action in {
		"unknown": "install",
		"null": null,
		"empty": "",
	}
	every request in [testing.by_spoke, testing.by_user] {
		spokegate.decision == testing.denied([action_not_offered]) with input as testing.patched(
			request,
			{"/action/name": action},
		)
	}
}

test_action_not_offered_when_it_is_missing if {
	request := testing.without(testing.by_spoke, "/action")
	spokegate.decision == testing.denied([action_not_offered]) with input as request
}

test_what_is_for_spokes_is_not_offered_to_the_user[action] if {
	some action, of in {
		"connect": testing.to_connect,
		"generate": testing.to_generate,
		"remember": testing.to_recall,
		"recall": testing.to_recall,
		"share": testing.to_share,
	}
	request := testing.patched(testing.by_user, {
		"/action/name": action,
		"/resource": of.resource,
	})
	decision := spokegate.decision with input as request
	decision == testing.denied(decision.reasons)
	action_not_offered in decision.reasons
}

unknown_host := reason(
	"registry.unknown_host",
	"The access request to connect names no host, or not in the one form that it has.",
)

test_unknown_host[note] if {
	some note, values in {
		"a function": {"/resource/type": "function"},
		"another name": {"/resource/host/name": "api.example.com"},
		"another port": {"/resource/host/port": 8443},
		"a port in words": {"/resource/host/port": "443"},
		"another origin": {"/resource/host/origin": "untrusted:news"},
		"another scheme": {"/resource/host/scheme": "ftp"},
		"no scheme": {"/resource/host/scheme": null},
		"no host": {"/resource/host": null},
	}
	decision := spokegate.decision with input as testing.patched(testing.to_connect, values)
	decision == testing.denied([unknown_host])
}

test_unknown_host_when_a_function_is_to_be_connected_to if {
	request := testing.patched(testing.by_spoke, {"/action/name": "connect"})
	decision := spokegate.decision with input as request
	decision == testing.denied([unknown_host])
}

unknown_memory := reason(
	"registry.unknown_memory",
	"The access request to remember or recall does not say whose memory it is about, or what that carries.",
)

test_unknown_memory[note] if {
	some note, values in {
		"another type": {"/resource/type": "function"},
		"another name": {"/resource/memory/app": "archive"},
		"another id": {"/resource/id": "reader"},
		"no labels": {"/resource/memory/labels": null},
		"half of the labels": {"/resource/memory/labels": {"integrity": []}},
		"no memory": {"/resource/memory": null},
	}
	some action in {"remember", "recall"}
	document := testing.patched_in_turn(testing.to_recall, [values, {"/action/name": action}])
	decision := spokegate.decision with input as document
	decision == testing.denied([unknown_memory])
}

unknown_attribute := reason(
	"registry.unknown_attribute",
	"The access request to share does not say which attribute, for which function, or what it carries.",
)

test_unknown_attribute[note] if {
	some note, values in {
		"another type": {"/resource/type": "function"},
		"another name": {"/resource/user_data/name": "heart"},
		"another id": {"/resource/id": "email"},
		"no function": {"/resource/user_data/function": null},
		"nothing of what it carries": {"/resource/user_data/confidentiality": null},
		"no attribute": {"/resource/user_data": null},
	}
	decision := spokegate.decision with input as testing.patched(testing.to_share, values)
	decision == testing.denied([unknown_attribute])
}

unknown_model := reason(
	"registry.unknown_model",
	"The access request to generate names no model, or lacks what the rules look at.",
)

test_unknown_model[note] if {
	some note, values in {
		"a function": {"/resource/type": "function"},
		"another name": {"/resource/model/name": "large"},
		"another id": {"/resource/id": "small"},
		"no clearance": {"/resource/model/clearance": null},
		"no model": {"/resource/model": null},
	}
	decision := spokegate.decision with input as testing.patched(testing.to_generate, values)
	decision == testing.denied([unknown_model])
}

test_a_model_is_no_function[action] if {
	some action in {"invoke", "return"}
	request := testing.patched(testing.to_generate, {"/action/name": action})
	spokegate.decision == testing.hidden([unknown_function]) with input as request
}

test_a_host_is_no_function[action] if {
	some action in {"invoke", "return"}
	request := testing.patched(testing.to_connect, {"/action/name": action})
	spokegate.decision == testing.hidden([unknown_function]) with input as request
}

test_nothing_is_offered_to_the_planner[action] if {
	some action in {"invoke", "probe", "return"}
	request := testing.patched(testing.by_user, {
		"/subject/type": "planner",
		"/subject/id": "planner",
		"/action/name": action,
	})
	spokegate.decision == testing.hidden([action_not_offered]) with input as request
}

test_unknown_function[note] if {
	some note, resource in {
		"no app": testing.without(testing.by_user, "/resource/app").resource,
		"no function": testing.without(testing.by_user, "/resource/function").resource,
		"neither": {"type": "function", "id": "archive.find"},
		"null function": testing.patched(testing.by_user, {"/resource/function": null}).resource,
		"another type": testing.patched(testing.by_user, {"/resource/type": "model"}).resource,
		"no type": testing.without(testing.by_user, "/resource/type").resource,
		"nothing": {},
	}
	every request in [testing.by_user, testing.by_spoke] {
		spokegate.decision == testing.hidden([unknown_function]) with input as testing.patched(
			request,
			{"/resource": resource},
		)
	}
}

test_unknown_function_when_the_app_is_no_object if {
	request := testing.patched(testing.by_spoke, {"/resource/app": "archive"})
	expected := testing.hidden([malformed_app, unknown_function, unknown_trust])
	spokegate.decision == expected with input as request
}

test_unknown_function_is_hidden_like_an_undeclared_one if {
	unknown := spokegate.decision with input as testing.without(testing.by_spoke, "/resource/function")
	undeclared := spokegate.decision with input as testing.patched(testing.by_spoke, {"/subject/app/asks": []})
	object.remove(unknown, {"reasons"}) == object.remove(undeclared, {"reasons"})
}

test_function_mismatch[note] if {
	some note, values in {
		"another app": {"/resource/app/name": "mailbox"},
		"another function": {"/resource/function/name": "erase"},
		"another id": {"/resource/id": "archive.erase"},
		"no dot": {"/resource/id": "archive"},
		"a dot in the function": {"/resource/id": "archive.find.all", "/resource/function/name": "find.all"},
		"a dot in the app": {"/resource/id": "the.archive.find", "/resource/app/name": "the.archive"},
		"no text": {"/resource/id": 3},
	}
	request := testing.patched(testing.by_user, values)
	spokegate.decision == testing.denied([function_mismatch]) with input as request
}

test_unknown_trust[note] if {
	some note, request in {
		"caller's": testing.patched(testing.by_spoke, {"/subject/app/trust": "friend"}),
		"caller's missing": testing.without(testing.by_spoke, "/subject/app/trust"),
		"target's": testing.patched(testing.by_spoke, {"/resource/app/trust": "friend"}),
		"target's missing": testing.without(testing.by_spoke, "/resource/app/trust"),
		"target's, for the user": testing.patched(testing.by_user, {"/resource/app/trust": null}),
	}
	spokegate.decision == testing.denied([unknown_trust]) with input as request
}

test_every_known_trust_will_do[trust] if {
	some trust in {"unreviewed", "reviewed", "system"}
	spokegate.decision == testing.delivered([testing.declared_read]) with input as testing.patched(
		testing.by_spoke,
		{"/subject/app/trust": trust, "/resource/app/trust": trust},
	)
}

test_malformed_app[note] if {
	some note, request in {
		"caller's clearance": testing.without(testing.by_spoke, "/subject/app/clearance"),
		"target's clearance": testing.without(testing.by_spoke, "/resource/app/clearance"),
		"target's asks": testing.without(testing.by_spoke, "/resource/app/asks"),
		"clearance of another type": testing.patched(testing.by_user, {"/resource/app/clearance": "all"}),
		"caller's egress": testing.without(testing.by_spoke, "/subject/app/egress"),
		"target's egress": testing.without(testing.by_user, "/resource/app/egress"),
		"egress of another type": testing.patched(testing.by_user, {"/resource/app/egress": "*"}),
		"asks of another type": testing.patched(testing.by_user, {"/resource/app/asks": "*"}),
	}
	spokegate.decision == testing.denied([malformed_app]) with input as request
}

test_malformed_app_without_asks_of_the_caller if {
	request := testing.without(testing.by_spoke, "/subject/app/asks")
	spokegate.decision == testing.hidden([malformed_app]) with input as request
}

test_unknown_effect[note] if {
	some note, request in {
		"unknown": testing.patched(testing.by_user, {"/resource/function/effect": "execute"}),
		"null": testing.patched(testing.by_spoke, {"/resource/function/effect": null}),
		"missing": testing.without(testing.by_user, "/resource/function/effect"),
	}
	spokegate.decision == testing.denied([unknown_effect]) with input as request
}

test_malformed_function[note] if {
	some note, request in {
		"no egress": testing.without(testing.by_user, "/resource/function/egress"),
		"egress in words": testing.patched(testing.by_user, {"/resource/function/egress": "no"}),
		"no control arguments": testing.without(testing.by_user, "/resource/function/control_arguments"),
		"one control argument": testing.patched(testing.by_user, {"/resource/function/control_arguments": "/to"}),
		"no labels": testing.without(testing.by_user, "/resource/function/labels"),
		"no confidentiality": testing.without(testing.by_user, "/resource/function/labels/confidentiality"),
		"no integrity": testing.without(testing.by_user, "/resource/function/labels/integrity"),
		"labels in words": testing.patched(testing.by_user, {"/resource/function/labels/integrity": "news"}),
	}
	spokegate.decision == testing.denied([malformed_function]) with input as request
}
