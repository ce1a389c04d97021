# METADATA
# title: Budgets
# description: How long a chain of calls may grow, and how many calls a session may make, of all functions and of one.
package spokegate.rules.budgets

import data.spokegate.lib.reasons
import data.spokegate.settings

# METADATA
# title: Chain too long
# description: The chain of calls passes more than {limit} spokes.
# custom:
#   code: budgets.hops
deny contains reason if {
	not within_hops
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.budgets.max_hops]})
}

# METADATA
# title: Session used up
# description: The session has made more than {limit} calls.
# custom:
#   code: budgets.session
deny contains reason if {
	not within_session
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.budgets.max_session_calls]})
}

# METADATA
# title: Function used up
# description: The session has asked for {function} more than {limit} times.
# custom:
#   code: budgets.function
deny contains reason if {
	not within_function
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.budgets.max_function_calls]})
}

within_hops if input.context.hop <= settings.limits.budgets.max_hops

# A result belongs to a call that has been counted.
within_session if input.action.name == "return"

within_session if input.context.counts.session <= settings.limits.budgets.max_session_calls

within_function if input.action.name == "return"

within_function if input.context.counts.function <= settings.limits.budgets.max_function_calls
