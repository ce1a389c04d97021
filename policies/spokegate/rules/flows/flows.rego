# METADATA
# title: Flows
# description: >-
#   Confidentiality in both directions. Arguments may carry all that the caller carries; a result carries what its
#   function's labels say, less what obligations take off. Trust is no clearance, and the user is cleared for
#   everything.
package spokegate.rules.flows

import data.spokegate.lib.reasons
import data.spokegate.lib.relabel
import data.spokegate.lib.request

# METADATA
# title: Result for an uncleared app
# description: "The result of {function} carries {labels}, which {caller} is not cleared for."
# custom:
#   code: flows.result_to_uncleared
deny contains reason if {
	input.action.name in {"invoke", "return"}
	not result_cleared
	reason := reasons.of(rego.metadata.chain(), {"labels": result_labels - caller_clearance})
}

# METADATA
# title: Confidential arguments for an uncleared app
# description: "{caller} carries {labels}, which {app} is not cleared for."
# custom:
#   code: flows.caller_to_uncleared
deny contains reason if {
	input.action.name == "invoke"
	not caller_cleared
	reason := reasons.of(rego.metadata.chain(), {"labels": caller_labels - target_clearance})
}

result_cleared if request.by_user

# An app's own function tells it nothing that the app did not have.
result_cleared if request.within_app

result_cleared if {
	request.by_spoke
	every label in input.resource.function.labels.confidentiality {
		label in (caller_clearance | relabel.confidentiality)
	}
}

caller_cleared if request.by_user

# Within one app nothing changes hands, unless the function sends it on.
caller_cleared if {
	request.within_app
	input.resource.function.egress == false
}

caller_cleared if {
	request.by_spoke
	every label in input.context.labels.confidentiality {
		label in target_clearance
	}
}

result_labels contains label if {
	some label in input.resource.function.labels.confidentiality
	not label in relabel.confidentiality
}

caller_labels contains label if some label in input.context.labels.confidentiality

caller_clearance contains label if some label in input.subject.app.clearance

target_clearance contains label if some label in input.resource.app.clearance
