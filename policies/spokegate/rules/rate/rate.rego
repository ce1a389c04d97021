# METADATA
# title: Rate
# description: How many calls a session may make within a minute, of all functions and of one.
package spokegate.rules.rate

import data.spokegate.lib.reasons
import data.spokegate.settings

# METADATA
# title: Session too fast
# description: The session has made more than {limit} calls within a minute.
# custom:
#   code: rate.session
deny contains reason if {
	not within_session
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.rate.max_session_calls_per_minute]})
}

# METADATA
# title: Function called too fast
# description: The session has asked for {function} more than {limit} times within a minute.
# custom:
#   code: rate.function
deny contains reason if {
	not within_function
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.rate.max_function_calls_per_minute]})
}

# A result belongs to a call that has been counted.
within_session if input.action.name == "return"

within_session if input.context.counts.session_minute <= settings.limits.rate.max_session_calls_per_minute

within_function if input.action.name == "return"

within_function if input.context.counts.function_minute <= settings.limits.rate.max_function_calls_per_minute
