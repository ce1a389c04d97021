# METADATA
# title: Egress
# description: >-
#   What a spoke may connect to outside of the system, through the proxy or with a fetch. Whatever the spoke carries may
#   go out with it, and what it hears back is untrusted; that it has heard from the same host before changes nothing.
package spokegate.rules.egress

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Undeclared host
# description: The manifest of {caller} does not declare that it connects to {function}.
# custom:
#   code: egress.undeclared
deny contains reason if {
	request.connects
	not declared
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Confidential data out of an uncleared app
# description: "{caller} carries {labels}, which it is not cleared for, so it may not send it out to {function}."
# custom:
#   code: egress.uncleared
deny contains reason if {
	request.connects
	not cleared
	reason := reasons.of(rego.metadata.chain(), {"labels": carried - clearance})
}

# METADATA
# title: Confidential data out under untrusted influence
# description: >-
#   {caller} carries confidential data ({confidential}) and is influenced by {origins}; {function} is outside of the
#   system.
# custom:
#   code: egress.confidential_under_influence
deny contains reason if {
	request.connects
	not request.unconfidential
	not uninfluenced_by_others
	reason := reasons.of(rego.metadata.chain(), {
		"confidential": object.get(input, ["context", "labels", "confidentiality"], []),
		"origins": origins,
	})
}

# METADATA
# title: Connection of an unreviewed app
# description: Nobody has reviewed {caller}, which wants to connect to {function}.
# custom:
#   code: egress.unreviewed
ask contains reason if {
	request.connects
	not reviewed
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Connection under untrusted influence
# description: "{caller} is influenced by {origins}, and wants to connect to {function}."
# custom:
#   code: egress.under_influence
ask contains reason if {
	request.connects
	not uninfluenced_by_others
	reason := reasons.of(rego.metadata.chain(), {"origins": origins})
}

# METADATA
# title: Declared host
# description: The manifest of {caller}, which is reviewed, declares that it connects to {function}.
# custom:
#   code: egress.declared
allow contains reason if {
	request.connects
	declared
	reviewed
	uninfluenced_by_others
	reason := reasons.of(rego.metadata.chain(), {})
}

declared if input.resource.id in input.subject.app.egress

cleared if {
	every label in input.context.labels.confidentiality {
		label in clearance
	}
}

reviewed if input.subject.app.trust in {"reviewed", "system"}

# METADATA
# title: Uninfluenced by others
# description: No untrusted origin has influenced the asker but the very host that it wants to connect to.
uninfluenced_by_others if {
	every origin in input.context.labels.integrity {
		origin == input.resource.host.origin
	}
}

carried contains label if some label in input.context.labels.confidentiality

clearance contains label if some label in input.subject.app.clearance

default origins := "something unknown"

origins := others if {
	others := {origin |
		some origin in input.context.labels.integrity
		origin != input.resource.host.origin
	}
	count(others) > 0
}
