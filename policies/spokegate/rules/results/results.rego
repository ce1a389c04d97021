# METADATA
# title: Results
# description: A confidential result is decided on once more before it is delivered to another app.
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
#   A result that carries confidential data, on its way from one app to another. The user may receive everything, and
#   an app its own. What the target first learns while it works is in no label yet: the hub, which sees it, has the
#   result decided on then, whatever this rule says.
default review_result := false

review_result if {
	input.action.name == "invoke"
	request.by_spoke
	not request.within_app
	not without_confidential
}

without_confidential if input.resource.function.labels.confidentiality == []
