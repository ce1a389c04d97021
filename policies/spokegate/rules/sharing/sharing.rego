# METADATA
# title: Sharing
# description: >-
#   What an app is told of the user before its function runs: attribute by attribute, only what its manifest wants for
#   that function, and only where it is cleared for all that the value carries.
package spokegate.rules.sharing

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Unwanted attribute
# description: The manifest of {caller} does not want {function} for this function.
# custom:
#   code: sharing.undeclared
deny contains reason if {
	request.shares
	not declared
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Attribute for an uncleared app
# description: "{function} carries {labels}, which {caller} is not cleared for."
# custom:
#   code: sharing.uncleared
deny contains reason if {
	request.shares
	not cleared
	reason := reasons.of(rego.metadata.chain(), {"labels": carried - clearance})
}

# METADATA
# title: Attribute for an unreviewed app
# description: Nobody has reviewed {caller}, which wants to know {function}.
# custom:
#   code: sharing.unreviewed
ask contains reason if {
	request.shares
	not request.reviewed
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Confidential attribute under untrusted influence
# description: "{caller} is influenced by {origins}, and wants to know {function}, which is confidential."
# custom:
#   code: sharing.under_influence
ask contains reason if {
	request.shares
	not unconfidential
	not request.uninfluenced
	reason := reasons.of(rego.metadata.chain(), {"origins": origins})
}

# METADATA
# title: Wanted attribute
# description: The manifest of {caller}, which is reviewed and cleared for it, wants {function}.
# custom:
#   code: sharing.declared
allow contains reason if {
	request.shares
	declared
	cleared
	request.reviewed
	reason := reasons.of(rego.metadata.chain(), {})
}

declared if {
	attribute := input.resource.user_data
	input.resource.id == concat("/", ["user_data", attribute.name])
	concat(".", [attribute.function, attribute.name]) in input.subject.app.user_data
}

cleared if {
	every label in input.resource.user_data.confidentiality {
		label in clearance
	}
}

unconfidential if input.resource.user_data.confidentiality == []

carried contains label if some label in input.resource.user_data.confidentiality

clearance contains label if some label in input.subject.app.clearance

default origins := "something unknown"

origins := input.context.labels.integrity if count(input.context.labels.integrity) > 0
