# METADATA
# description: |
#   A call under `not` is undefined, not true, when an argument is: `not input.x in known` does not hold for a missing x
# schemas:
#   - input: schema.regal.ast
package custom.regal.rules.spokegate.negations

import data.regal.result

# METADATA
# description: Negate a rule that holds for what is permitted, or bind the argument first
report contains violation if {
	some rule in input.rules
	walk(rule, [_, expression])
	expression.negated
	is_array(expression.terms)
	refers(array.slice(expression.terms, 1, count(expression.terms)))
	violation := result.fail(rego.metadata.chain(), result.location(expression))
}

refers(arguments) if {
	walk(arguments, [_, node])
	node.type == "ref"
	node.value[0].value in {"data", "input"}
}
