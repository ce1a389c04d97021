# METADATA
# title: Grants
# description: Which of the grants in the access request covers it, and which scopes a new one may have.
package spokegate.lib.grants

import data.spokegate.lib.controls
import data.spokegate.lib.pointers
import data.spokegate.lib.request

# METADATA
# title: Covering grants
# description: >-
#   The ids of the grants that cover this access request: given by this user in this session to this caller for this
#   function, with at least the labels that the caller carries now, and in scope.
covering contains grant.id if {
	some grant in input.grants
	is_string(grant.id)
	grant.user == input.subject.user
	grant.session == input.context.session
	grant.caller == input.subject.id
	grant.function == input.resource.id
	labels_within(grant.labels)
	in_scope(grant)
}

# METADATA
# title: Labels within
# description: The caller carries no label that it did not carry when the grant was given.
labels_within(labels) if {
	every label in input.context.labels.confidentiality {
		label in labels.confidentiality
	}
	every label in input.context.labels.integrity {
		label in labels.integrity
	}
}

# METADATA
# title: In scope
# scope: document
# description: >-
#   Once: the very arguments. Session: every control argument has the value that the grant names; never for what cannot
#   be undone. A connection has no control arguments: what steers it is its host, which every grant is bound to. Any
#   other scope counts for nothing.
in_scope(grant) if {
	grant.scope == "once"
	grant.arguments_digest == input.context.arguments_digest
}

in_scope(grant) if {
	grant.scope == "session"
	request.reversible
	constraint := object.get(grant, "constraint", {})
	every pointer in input.resource.function.control_arguments {
		pointer in object.keys(constraint)
	}
	every pointer, value in constraint {
		pointers.at(input.arguments, pointer) == value
	}
}

in_scope(grant) if {
	grant.scope == "session"
	request.connects
	object.get(grant, "constraint", {}) == {}
}

# METADATA
# title: Scopes on offer
# scope: document
# description: >-
#   A grant for the session is offered where it could cover the access request that is asked about: what can be undone,
#   with every control argument present, or a connection.
default scopes := ["once"]

scopes := ["once", "session"] if {
	request.reversible
	controls.complete
}

scopes := ["once", "session"] if request.connects
