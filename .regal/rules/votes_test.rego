package custom.regal.rules.spokegate.votes_test

import data.custom.regal.rules.spokegate.votes

module(text) := regal.parse_module("policy.rego", text)

sound := `package spokegate.rules.topic

# METADATA
# title: A title
# description: A description.
# custom:
#   code: topic.rule
deny contains 1 if input.x
`

decision := `package spokegate

import data.spokegate.rules.topic

decision := topic.deny
`

descriptions(report) := {violation.description | some violation in report}

test_a_rule_with_metadata_is_fine if {
	report := votes.report with input as module(sound)
	report == set()
}

test_a_rule_lacks[line] if {
	some line, expected in {
		"# title: A title\n": "no title in the METADATA of this rule",
		"# description: A description.\n": "no description in the METADATA of this rule",
		"#   code: topic.rule\n": "no custom.code in the METADATA of this rule that begins with topic.",
	}
	report := votes.report with input as module(replace(sound, line, ""))
	descriptions(report) == {expected}
}

test_a_rule_lacks_everything[vote] if {
	some vote in {"deny", "ask", "allow", "obligations"}
	text := sprintf("package site\n\n%s contains 1 if input.x\n", [vote])
	report := votes.report with input as module(text)
	descriptions(report) == {
		"no title in the METADATA of this rule",
		"no description in the METADATA of this rule",
		"no custom.code in the METADATA of this rule that begins with site.",
	}
}

test_a_code_of_another_topic if {
	report := votes.report with input as module(replace(sound, "topic.rule", "other.rule"))
	descriptions(report) == {"no custom.code in the METADATA of this rule that begins with topic."}
}

test_elsewhere_a_rule_of_that_name_is_no_vote if {
	report := votes.report with input as module("package spokegate.lib.topic\n\ndeny contains 1 if input.x\n")
	report == set()
}

aggregated(texts) := {entry |
	some text in texts
	entries := votes.aggregate with input as module(text)
	some entry in entries
}

test_codes_are_unique if {
	report := votes.aggregate_report with input as {"aggregate": aggregated([sound, decision])}
	report == set()
}

test_a_code_used_twice if {
	twice := concat("\n", [sound, replace(replace(sound, "package spokegate.rules.topic\n", ""), "deny", "ask")])
	report := votes.aggregate_report with input as {"aggregate": aggregated([twice])}
	descriptions(report) == {"code topic.rule is another rule's too"}
	count(report) == 2
}

test_a_vote_that_is_not_counted if {
	uncounted := replace(decision, "topic.deny", "topic.allow")
	report := votes.aggregate_report with input as {"aggregate": aggregated([sound, uncounted])}
	descriptions(report) == {"topic.deny is not counted"}
}

test_without_the_decision_nothing_is_known_of_counting if {
	report := votes.aggregate_report with input as {"aggregate": aggregated([sound])}
	report == set()
}
