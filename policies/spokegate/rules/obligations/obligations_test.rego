package spokegate.rules.obligations_test

import data.spokegate
import data.spokegate.rules.obligations
import data.spokegate.testing

redacted := {"type": "redact", "on": "result", "pointer": "/ssn"}

redact_results := {"archive.find": ["/ssn"], "archive.list": ["/name"]}

test_max_result_bytes_for_a_spoke[action] if {
	some action in {"invoke", "return"}
	request := testing.patched(testing.by_spoke, {"/action/name": action})
	decision := spokegate.decision with input as request
	decision.obligations == [testing.max_result_bytes]
}

test_max_result_bytes_from_the_settings if {
	decision := spokegate.decision with input as testing.by_spoke
		with spokegate.settings.limits as {"results": {"max_bytes": 10}}
	decision.obligations == [{"type": "max_result_bytes", "on": "result", "value": 10}]
}

test_no_obligation_for_the_user[action] if {
	some action in {"invoke", "return"}
	decision := spokegate.decision with input as testing.patched(testing.by_user, {"/action/name": action})
		with spokegate.settings.redact_results as redact_results
	decision.obligations == []
}

test_no_obligation_on_a_probe if {
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, {"/action/name": "probe"})
		with spokegate.settings.redact_results as redact_results
	decision.obligations == []
}

test_no_obligation_without_an_allow[note] if {
	some note, request in {
		"deny": testing.patched(testing.by_spoke, {"/version": 2}),
		"ask": testing.patched(testing.by_spoke, testing.irreversible),
	}
	decision := spokegate.decision with input as request
		with spokegate.settings.redact_results as redact_results
	decision.obligations == []
}

test_redact_results[action] if {
	some action in {"invoke", "return"}
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, {"/action/name": action})
		with spokegate.settings.redact_results as redact_results
	decision.obligations == [redacted, testing.max_result_bytes]
}

test_redact_results_of_another_function if {
	decision := spokegate.decision with input as testing.by_spoke
		with spokegate.settings.redact_results as {"archive.list": ["/name"]}
	decision.obligations == [testing.max_result_bytes]
}

test_redact_results_within_an_app if {
	decision := spokegate.decision with input as testing.patched(testing.by_spoke, testing.own)
		with spokegate.settings.redact_results as redact_results
	decision.obligations == [testing.max_result_bytes]
}

relabel_results := {
	"archive.find": {"confidentiality": ["health"]},
	"archive.list": {"confidentiality": ["contact"]},
	"archive.count": {"integrity": ["news"]},
}

test_relabel_results[note] if {
	some note, [resource, expected] in {
		"confidentiality": ["archive.find", [["health"], []]],
		"integrity": ["archive.count", [[], ["news"]]],
	}
	given := obligations.obligations with input as testing.patched(testing.by_user, {"/resource/id": resource})
		with spokegate.settings.relabel_results as relabel_results
	given == {{"type": "relabel", "on": "result", "confidentiality": expected[0], "integrity": expected[1]}}
}

test_no_relabelling_of_another_function_or_a_probe[note] if {
	some note, patch in {"function": {"/resource/id": "archive.remove"}, "probe": {"/action/name": "probe"}}
	given := obligations.obligations with input as testing.patched(testing.by_user, patch)
		with spokegate.settings.relabel_results as relabel_results
	given == set()
}
