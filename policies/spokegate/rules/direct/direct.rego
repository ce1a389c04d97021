# METADATA
# title: Direct calls
# description: Calls that the user makes without an app in between.
package spokegate.rules.direct

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Call by the user
# description: The user calls {function} directly, and what it does can be undone.
# custom:
#   code: direct.user_call
allow contains reason if {
	request.by_user
	input.action.name == "invoke"
	request.reversible
	reason := reasons.of(rego.metadata.chain(), {})
}
