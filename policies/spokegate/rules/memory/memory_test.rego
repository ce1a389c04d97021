package spokegate.rules.memory_test

import data.spokegate
import data.spokegate.rules.memory
import data.spokegate.testing

reason(code, message) := {"code": code, "message": message, "rule": "spokegate.rules.memory"}

undeclared := reason("memory.undeclared", "The manifest of reader does not declare that it remembers the user.")

of_another(resource, caller) := reason(
	"memory.of_another",
	sprintf("What %s holds is not for %s.", [resource, caller]),
)

own(resource, caller) := reason("memory.own", sprintf("What %s holds is %s's own.", [resource, caller]))

actions := {"remember", "recall"}

memory_of(app) := {"type": "memory", "id": concat("/", ["memory", app]), "memory": {
	"app": app,
	"labels": {"confidentiality": [], "integrity": []},
}}

request(action, patches) := testing.patched_in_turn(
	testing.to_recall,
	array.concat([{"/action/name": action}], patches),
)

by_planner(action, app) := request(action, [{
	"/subject": {"type": "planner", "id": "planner", "user": "alice", "roles": []},
	"/context/chain": ["planner"],
	"/context/hop": 0,
	"/resource": memory_of(app),
}])

test_own_memory[action] if {
	some action in actions
	spokegate.decision == testing.allowed([own("memory/reader", "reader")]) with input as request(action, [])
}

test_own_memory_whatever_the_app_knows[action] if {
	some action in actions
	document := request(action, [
		testing.influenced,
		{"/context/labels/confidentiality": ["health"]},
		{"/resource/memory/labels": {"confidentiality": ["health"], "integrity": ["news"]}},
	])
	spokegate.decision == testing.allowed([own("memory/reader", "reader")]) with input as document
}

test_undeclared[action] if {
	some action in actions
	document := request(action, [{"/subject/app/remembers": false}])
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_undeclared_by_default[action] if {
	some action in actions
	document := testing.without(request(action, []), "/subject/app/remembers")
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_memory_of_another_app[action] if {
	some action in actions
	document := request(action, [{"/resource": memory_of("archive")}])
	spokegate.decision == testing.denied([of_another("memory/archive", "reader")]) with input as document
}

test_memory_of_the_hub[action] if {
	some action in actions
	document := request(action, [{"/resource": memory_of("hub")}])
	spokegate.decision == testing.denied([of_another("memory/hub", "reader")]) with input as document
}

test_memory_under_the_name_of_another[action] if {
	some action in actions
	document := request(action, [{"/resource/id": "memory/archive"}])
	memory.deny == {object.union(of_another("memory/archive", "reader"), {"hidden": false})} with input as document
}

test_memory_that_is_not_said_whose[action] if {
	some action in actions
	document := testing.without(request(action, []), "/resource/memory")
	memory.deny == {object.union(of_another("memory/reader", "reader"), {"hidden": false})} with input as document
}

test_the_planner_has_the_memory_of_the_hub[action] if {
	some action in actions
	spokegate.decision == testing.allowed([own("memory/hub", "the planner")]) with input as by_planner(action, "hub")
}

test_the_planner_has_no_memory_of_an_app[action] if {
	some action in actions
	document := by_planner(action, "reader")
	spokegate.decision == testing.denied([of_another("memory/reader", "the planner")]) with input as document
}

test_no_other_request_has_to_do_with_memory if {
memory.deny | memory.allow == set() with input as testing.by_spoke}
