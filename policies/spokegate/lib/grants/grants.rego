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
#   The ids of the grants that cover this access request: given by this user to this caller for this function, both apps
#   as they are now, with at least the labels that the caller carries now, nobody new behind the caller, some use left,
#   and in scope.
covering contains grant.id if {
	some grant in input.grants
	is_string(grant.id)
	grant.user == input.subject.user
	grant.caller == input.subject.id
	grant.function == input.resource.id
	same_apps(grant)
	labels_within(grant.labels)
	nobody_new(grant)
	usable(grant)
	in_scope(grant)
}

# METADATA
# title: Same apps
# description: >-
#   The asking and the serving app are the ones that the grant was given to and for. The user is no app, and no host is.
same_apps(grant) if {
	object.get(grant, "caller_digest", null) == caller_digest
	object.get(grant, "target_digest", null) == target_digest
}

caller_digest := input.subject.app.digest if request.by_spoke

caller_digest := null if request.by_user

target_digest := input.resource.app.digest if not request.of_hub

target_digest := null if request.of_hub

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
# title: Nobody new
# scope: document
# description: >-
#   No app has the caller ask that had no part in the request which the person agreed to: else it could use an app that
#   a person trusts for what they never agreed to. A connection is the spoke's own, whichever of its calls makes it.
nobody_new(_) if request.connects

nobody_new(grant) if {
	agreed := object.get(grant, "chain", ["user", grant.caller])
	every part in input.context.chain {
		part in agreed
	}
}

# METADATA
# title: Usable
# scope: document
# description: Any number of uses, or one at least is left.
usable(grant) if object.get(grant, "uses_left", null) == null

usable(grant) if {
	is_number(grant.uses_left)
	grant.uses_left > 0
}

# METADATA
# title: In scope
# scope: document
# description: >-
#   Once: the very arguments, in this session. Session: in this session. Until: before its time. Always: for a caller
#   that nothing untrusted has influenced. But for once, only for what can be undone, and bound to arguments. What
#   steers what the hub itself does is its resource, such as a host, which every grant is bound to; a yes to it lasts
#   for the session at most, but for a yes to know an attribute of the user as it is. Any other scope counts for
#   nothing.
in_scope(grant) if {
	grant.scope == "once"
	grant.session == input.context.session
	grant.arguments_digest == input.context.arguments_digest
}

in_scope(grant) if {
	grant.scope == "session"
	grant.session == input.context.session
	request.reversible
	bound(grant)
}

in_scope(grant) if {
	grant.scope == "session"
	grant.session == input.context.session
	bound_to_resource(grant)
}

in_scope(grant) if {
	grant.scope == "until"
	may_last
	bound_for_long(grant)
	time.parse_rfc3339_ns(input.context.time) < time.parse_rfc3339_ns(grant.expires)
}

in_scope(grant) if {
	grant.scope == "always"
	may_last
	request.uninfluenced
	bound_for_long(grant)
}

# METADATA
# title: May last
# scope: document
# description: What can be undone, and what the user is willing to be known by.
may_last if request.reversible

may_last if request.shares

# METADATA
# title: Bound to arguments
# scope: document
# description: To exactly these, or, where it names no digest, by a constraint that every control argument fits.
bound(grant) if grant.arguments_digest == input.context.arguments_digest

bound(grant) if {
	object.get(grant, "arguments_digest", null) == null
	constraint := object.get(grant, "constraint", {})
	every pointer in input.resource.function.control_arguments {
		pointer in object.keys(constraint)
	}
	every pointer, value in constraint {
		pointers.at(input.arguments, pointer) == value
	}
}

# METADATA
# title: Bound to a resource
# description: >-
#   What the hub itself is to do, and no other request than the one that the grant names, if it names one.
bound_to_resource(grant) if {
	request.of_hub
	object.get(grant, "constraint", {}) == {}
	object.get(grant, "arguments_digest", null) in {null, input.context.arguments_digest}
}

# METADATA
# title: Bound to arguments past the session
# scope: document
# description: What steers a function without control arguments is all of its arguments, so an empty constraint is none.
bound_for_long(grant) if grant.arguments_digest == input.context.arguments_digest

bound_for_long(grant) if {
	bound(grant)
	count(grant.constraint) > 0
}

# METADATA
# title: Scopes on offer
# description: >-
#   Once, always. What can be undone, with every control argument present, may be agreed to for longer; for good only
#   where nothing untrusted has influenced the caller, since what asks then may be an attacker's words.
scopes := array.concat(array.concat(["once"], longer), for_good)

default longer := []

longer := ["session"] if {
	request.of_hub
	not request.shares
}

longer := ["session", "until"] if request.shares

longer := ["session", "until"] if {
	not request.of_hub
	request.reversible
	controls.complete
}

default for_good := []

for_good := ["always"] if {
	"until" in longer
	request.uninfluenced
}
