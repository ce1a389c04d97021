# METADATA
# title: Irreversible functions
# description: A person is asked each time about what cannot be undone.
package spokegate.rules.irreversible

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Irreversible function
# description: What {function} does cannot be undone.
# custom:
#   code: irreversible.always_asked
ask contains reason if {
	input.action.name == "invoke"
	not request.reversible
	reason := reasons.of(rego.metadata.chain(), {})
}
