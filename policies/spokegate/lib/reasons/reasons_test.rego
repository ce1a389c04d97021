package spokegate.lib.reasons_test

import data.spokegate.lib.reasons
import data.spokegate.testing

chain := [{
	"path": ["spokegate", "rules", "topic", "deny"],
	"annotations": {
		"description": "{caller} and {app} and {function}: {things}.",
		"custom": {"code": "topic.rule", "hidden": true},
	},
}]

test_of if {
	reason := reasons.of(chain, {"things": ["a", "b"]}) with input as testing.by_spoke
	reason == {
		"code": "topic.rule",
		"message": "reader and archive and archive.find: a, b.",
		"rule": "spokegate.rules.topic",
		"hidden": true,
	}
}

test_of_a_document_without_names if {
	reason := reasons.of(chain, {"things": {1}}) with input as {}
	reason.message == "an unknown subject and an unknown app and an unknown function: 1."
}

test_of_names_of_another_type if {
	document := {"subject": {"type": "spoke", "id": 1}, "resource": {"id": ["x"], "app": {"name": null}}}
	reason := reasons.of(chain, {"things": []}) with input as document
	reason.message == "an unknown subject and an unknown app and an unknown function: ."
}

test_of_the_user if {
	reason := reasons.of(chain, {"things": "x"}) with input as testing.by_user
	reason.message == "the user and archive and archive.find: x."
}

test_a_reason_without_metadata_is_still_one[note] if {
	some note, given in {"nothing": [], "no annotations": [{"path": []}], "no chain": null}
	reason := reasons.of(given, {}) with input as {}
	reason == {
		"code": "reasons.unnamed",
		"message": "A rule without a description.",
		"rule": "",
		"hidden": false,
	}
}

test_a_fact_brings_in_no_other if {
	text := reasons.filled("{a} {b}", {"a": "{b}", "b": "{a}"}) with input as {}
	text == "{b} {a}"
}

test_what_has_no_fact_stays if {
	text := reasons.filled("{a}", {}) with input as {}
	text == "{a}"
}
