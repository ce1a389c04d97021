package custom.regal.rules.spokegate.negations_test

import data.custom.regal.rules.spokegate.negations

found(condition) := report if {
	text := sprintf("package policy\n\nknown := {1}\n\nf(x) := x\n\ndeny if {\n\t%s\n}\n", [condition])
	report := negations.report with input as regal.parse_module("policy.rego", text)
}

test_a_negated_call_on_what_may_be_missing[condition] if {
	some condition in {
		"not input.x in known",
		"not f(input.x)",
		"not input.x == 1",
		"not startswith(input.x, `a`)",
		"not f(object.get(data.x, `y`, 1))",
		"every x in known { not f(input.x[x]) }",
	}
	count(found(condition)) == 1
}

test_a_negation_of_what_is_there[condition] if {
	some condition in {
		"not known",
		"not input.x",
		"input.x in known",
		"x := input.x; not f(x)",
		"every x in known { not f(x) }",
	}
	found(condition) == set()
}
