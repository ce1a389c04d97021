# METADATA
# title: Untrusted influence
# description: >-
#   What a spoke may do to the world, or send out of the system, once an untrusted origin has influenced it. A read with
#   egress counts, because its arguments go out. What it is judged by is where the values come from: who said what it
#   acts on, and whose words it carries.
package spokegate.rules.influence

import data.spokegate.lib.content
import data.spokegate.lib.controls
import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Confidential data out under untrusted influence
# description: >-
#   {caller} carries confidential data ({confidential}) and is influenced by {origins}; {function} sends data out of the
#   system, and where to is not the user's word.
# custom:
#   code: influence.confidential_egress
deny contains reason if {
	call_under_influence
	not request.unconfidential
	not stays_inside
	not destination_accounted_for
	reason := reasons.of(rego.metadata.chain(), {
		"confidential": object.get(input, ["context", "labels", "confidentiality"], []),
		"origins": origins,
	})
}

# METADATA
# title: Irreversible act steered by something untrusted
# description: >-
#   {caller} is influenced by {origins}; what {function} does cannot be undone, and that it is to do it to just this
#   ({controls}) is the word of some text that the user did not name.
# custom:
#   code: influence.untrusted_irreversible
deny contains reason if {
	call_under_influence
	not request.reversible
	count(controls.given) > 0
	not steered_to_something
	reason := reasons.of(rego.metadata.chain(), {"origins": origins, "controls": steered_by})
}

# METADATA
# title: Passed on for something untrusted
# description: >-
#   {caller} is influenced by {origins}; {function} would send out links that the user did not name (in {content}), and
#   that they go just there ({controls}) is the word of some text that the user did not name either.
# custom:
#   code: influence.untrusted_relay
deny contains reason if {
	call_under_influence
	not stays_inside
	count(content.foreign_links) > 0
	count(controls.given) > 0
	not steered_to_something
	reason := reasons.of(rego.metadata.chain(), {
		"origins": origins,
		"content": content.foreign_links,
		"controls": steered_by,
	})
}

# METADATA
# title: Steered by something untrusted
# description: >-
#   {caller} is influenced by {origins}, and what steers {function} ({controls}) is not in the user's own words.
# custom:
#   code: influence.untrusted_control
ask contains reason if {
	call_under_influence
	not request.reads_only
	not steered_by_user
	reason := reasons.of(rego.metadata.chain(), {"origins": origins, "controls": steered_by})
}

# METADATA
# title: Foreign links sent out under untrusted influence
# description: >-
#   {caller} is influenced by {origins}, and {function} would send out links that the user did not name (in {content}).
# custom:
#   code: influence.untrusted_link
ask contains reason if {
	call_under_influence
	not stays_inside
	count(content.foreign_links) > 0
	reason := reasons.of(rego.metadata.chain(), {"origins": origins, "content": content.foreign_links})
}

# METADATA
# title: Steered by the user
# description: "{caller} is influenced by {origins}, but the user's own words say what {function} is to act on."
# custom:
#   code: influence.user_named_control
allow contains reason if {
	call_under_influence
	request.reversible
	not request.reads_only
	controls.all_from_user
	reason := reasons.of(rego.metadata.chain(), {"origins": origins})
}

# METADATA
# title: Dictated by the user
# description: >-
#   {caller} is influenced by {origins}, but what {function} carries is the user's own text, and what it acts on is
#   known to be there.
# custom:
#   code: influence.user_dictated
allow contains reason if {
	call_under_influence
	request.reversible
	not request.reads_only
	dictated_by_user
	reason := reasons.of(rego.metadata.chain(), {"origins": origins})
}

# METADATA
# title: Called for by the user
# description: >-
#   {caller} is influenced by {origins}, but the user's own words call for {function} and say whom or what it is about;
#   what they leave open is known to be there, or said by a source that they named.
# custom:
#   code: influence.user_called
allow contains reason if {
	call_under_influence
	request.reversible
	not request.reads_only
	called_by_user
	reason := reasons.of(rego.metadata.chain(), {"origins": origins})
}

steered_by_user if controls.all_from_user

steered_by_user if dictated_by_user

steered_by_user if called_by_user

# An app that nobody reviewed could choose, among what is there, what an attacker wants.
dictated_by_user if {
	request.reviewed
	content.dictated
	controls.all_known
}

called_by_user if {
	request.reviewed
	request.called_for
	controls.plain
	some pointer in controls.values
	controls.said(pointer)
	every other in controls.values {
		left_open(other)
	}
}

left_open(pointer) if controls.said(pointer)

left_open(pointer) if controls.of_named_source(pointer)

# Among what is there, somebody untrusted may choose whom something is sent to.
left_open(pointer) if {
	controls.listed(pointer)
	stays_inside
}

steered_to_something if controls.all_from_user

steered_to_something if {
	request.reviewed
	controls.plain
	every pointer in controls.values {
		more_than_mentioned(pointer)
	}
}

more_than_mentioned(pointer) if controls.said(pointer)

more_than_mentioned(pointer) if controls.leaf(pointer)

more_than_mentioned(pointer) if controls.of_named_source(pointer)

# It says nothing of where to: so only what the function does by itself is in question.
destination_accounted_for if {
	request.reviewed
	count(input.resource.function.control_arguments) > 0
	count(controls.given) == 0
}

# Where to, by texts of which each is the user's, or a field or item of something that was read, or said by a source
# that the user named and that all of the confidential data is of: a source may say where its own data goes, and not
# where others' goes. What only some text mentions is not among them. A number says how much or which, but not where to.
destination_accounted_for if {
	request.reviewed
	controls.plain
	every pointer in controls.values {
		accounted_for(pointer)
	}
}

# What is quoted and nothing else says no more than which of the things that were read was chosen.
destination_accounted_for if {
	request.reviewed
	controls.plain
	count(content.arguments) == 0
	every pointer in controls.values {
		said_or_quoted(pointer)
	}
}

accounted_for(pointer) if controls.said(pointer)

accounted_for(pointer) if controls.leaf(pointer)

accounted_for(pointer) if controls.numeric(pointer)

accounted_for(pointer) if {
	of_source := input.context.provenance[pointer].named_source.confidentiality
	every label in input.context.labels.confidentiality {
		label in of_source
	}
}

said_or_quoted(pointer) if controls.said(pointer)

said_or_quoted(pointer) if controls.quoted(pointer)

stays_inside if input.resource.function.egress == false

call_under_influence if {
	request.by_spoke
	input.action.name == "invoke"
	not request.uninfluenced
}

default origins := "something unknown"

origins := input.context.labels.integrity

default steered_by := "all of its arguments"

steered_by := input.resource.function.control_arguments if count(input.resource.function.control_arguments) > 0
