# METADATA
# title: Registry
# description: >-
#   Refuses every access request whose parts are not known and sound, so that the other topics may take them as they
#   are. Each list says what is known; what is missing is on none of them.
package spokegate.rules.registry

import data.spokegate.lib.reasons
import data.spokegate.lib.request

offered := {
	"spoke": {"invoke", "probe", "return", "connect", "generate", "remember", "recall", "share"},
	"planner": {"generate", "remember", "recall"},
	"user": {"invoke", "probe", "return"},
}

reserved := {"user", "planner", "hub"}

trusts := {"unreviewed", "reviewed", "system"}

effects := {"read", "write", "irreversible"}

schemes := {"http", "https", "connect"}

# METADATA
# title: Unknown version
# description: The access request is not of version 1.
# custom:
#   code: registry.version
deny contains reason if {
	not known_version
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Malformed access request
# description: The access request lacks a part that the rules look at, or has one of another type.
# custom:
#   code: registry.malformed
deny contains reason if {
	not sound_request
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown subject
# description: The subject is neither a user nor a planner nor a spoke with its app.
# custom:
#   code: registry.unknown_subject
deny contains reason if {
	not known_subject
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Subject and app differ
# description: The asking spoke is not named like its app.
# custom:
#   code: registry.subject_mismatch
deny contains reason if {
	request.by_spoke
	not named_like_app
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: App named like another subject
# description: The asking app has the name of a subject that is no app, and could pass for it in a grant.
# custom:
#   code: registry.reserved_name
deny contains reason if {
	request.by_spoke
	input.subject.id in reserved
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Action not offered
# description: No rule offers this action to this kind of subject.
# custom:
#   code: registry.action_not_offered
deny contains reason if {
	not action_offered
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown function
# description: No app offers the function that was asked for.
# custom:
#   code: registry.unknown_function
#   hidden: true
deny contains reason if {
	not request.of_hub
	not known_function
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Function and app differ
# description: The function that was asked for is not named like the app and the function that would serve it.
# custom:
#   code: registry.function_mismatch
deny contains reason if {
	known_function
	not named_like_function
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown host
# description: The access request to connect names no host, or not in the one form that it has.
# custom:
#   code: registry.unknown_host
deny contains reason if {
	request.connects
	not known_host
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown model
# description: The access request to generate names no model, or lacks what the rules look at.
# custom:
#   code: registry.unknown_model
deny contains reason if {
	request.generates
	not known_model
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown memory
# description: The access request to remember or recall does not say whose memory it is about, or what that carries.
# custom:
#   code: registry.unknown_memory
deny contains reason if {
	request.remembers
	not known_memory
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown attribute
# description: The access request to share does not say which attribute, for which function, or what it carries.
# custom:
#   code: registry.unknown_attribute
deny contains reason if {
	request.shares
	not known_attribute
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown trust
# description: An app in the access request has no known trust.
# custom:
#   code: registry.unknown_trust
deny contains reason if {
	some app in apps
	not trusted(app)
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Malformed app
# description: What is known of an app in the access request lacks its clearance, its asks or its egress.
# custom:
#   code: registry.malformed_app
deny contains reason if {
	some app in apps
	not sound_app(app)
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Unknown effect
# description: It is not known what {function} does to the world.
# custom:
#   code: registry.unknown_effect
deny contains reason if {
	known_function
	not known_effect
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Malformed function
# description: What is known of {function} lacks its egress, its control arguments or its labels.
# custom:
#   code: registry.malformed_function
deny contains reason if {
	known_function
	not sound_function
	reason := reasons.of(rego.metadata.chain(), {})
}

known_version if input.version == 1

sound_request if {
	is_string(input.subject.id)
	is_string(input.subject.user)
	is_object(input.arguments)
	is_array(input.grants)
	is_string(input.context.session)
	is_number(input.context.hop)
	is_number(input.context.counts.session)
	is_object(input.context.provenance)
	is_string(input.context.arguments_digest)
	sound_labels(input.context.labels)
	every known in input.context.provenance {
		sound_provenance(known)
	}
}

sound_provenance(known) if {
	is_boolean(known.user)
	is_array(known.from)
	is_number(object.get(known, "user_share", 0))
	is_array(object.get(known, "leaf_of", []))
	is_array(object.get(known, "identifier_of", []))
	is_array(object.get(known, "links", []))
	sound_labels(object.get(known, "named_source", {"confidentiality": [], "integrity": []}))
}

sound_labels(labels) if {
	is_array(labels.confidentiality)
	is_array(labels.integrity)
}

known_subject if request.by_user

known_subject if input.subject.type == "planner"

known_subject if {
	request.by_spoke
	is_object(input.subject.app)
}

named_like_app if input.subject.id == input.subject.app.name

action_offered if input.action.name in offered[input.subject.type]

known_function if {
	input.resource.type == "function"
	is_object(input.resource.app)
	is_object(input.resource.function)
}

known_host if {
	input.resource.type == "host"
	input.resource.host.scheme in schemes
	input.resource.id == sprintf("%s:%d", [input.resource.host.name, input.resource.host.port])
	input.resource.host.origin == concat("", ["untrusted:", input.resource.id])
}

known_model if {
	input.resource.type == "model"
	is_array(input.resource.model.clearance)
	input.resource.id == concat("/", ["model", input.resource.model.name])
}

known_memory if {
	input.resource.type == "memory"
	sound_labels(input.resource.memory.labels)
	input.resource.id == concat("/", ["memory", input.resource.memory.app])
}

known_attribute if {
	input.resource.type == "user_data"
	is_string(input.resource.user_data.function)
	is_array(input.resource.user_data.confidentiality)
	input.resource.id == concat("/", ["user_data", input.resource.user_data.name])
}

named_like_function if split(input.resource.id, ".") == [input.resource.app.name, input.resource.function.name]

apps contains input.subject.app

apps contains input.resource.app

trusted(app) if app.trust in trusts

sound_app(app) if {
	is_array(app.clearance)
	is_array(app.asks)
	is_array(app.egress)
}

known_effect if input.resource.function.effect in effects

sound_function if {
	is_boolean(input.resource.function.egress)
	is_array(input.resource.function.control_arguments)
	sound_labels(input.resource.function.labels)
}
