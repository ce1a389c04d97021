# METADATA
# title: Results
# description: A result that crosses from one app to another is decided on once more before it is delivered.
package spokegate.rules.results

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Reviewed result
# description: The result of {function} may be delivered to {caller}.
# custom:
#   code: results.reviewed
allow contains reason if {
	input.action.name == "return"
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Results to review
# scope: document
# description: >-
#   While it works, the target may learn more than its function's labels said when it was called; what its result
#   carries is only known at the end. The user may receive everything, and an app its own.
default review_result := false

review_result if {
	input.action.name == "invoke"
	request.by_spoke
	not request.within_app
}
