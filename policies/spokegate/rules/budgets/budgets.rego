# METADATA
# title: Budgets
# description: How long a chain of calls may grow and how many requests a session may make.
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
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.max_hops]})
}

# METADATA
# title: Session used up
# description: The session has made more than {limit} requests.
# custom:
#   code: budgets.session
deny contains reason if {
	not within_session
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.max_session_requests]})
}

within_hops if input.context.hop <= settings.max_hops

within_session if input.context.counts.session <= settings.max_session_requests

# A result belongs to a request that has been counted.
within_session if input.action.name == "return"
