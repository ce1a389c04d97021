# METADATA
# title: Untrusted influence
# description: >-
#   What a spoke may do to the world, or send out of the system, once an untrusted origin has influenced it. A read with
#   egress counts, because its arguments go out.
package spokegate.rules.influence

import data.spokegate.lib.controls
import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Confidential data out under untrusted influence
# description: >-
#   {caller} carries confidential data ({confidential}) and is influenced by {origins}; {function} sends data out of the
#   system.
# custom:
#   code: influence.confidential_egress
deny contains reason if {
	call_under_influence
	not request.unconfidential
	not stays_inside
	reason := reasons.of(rego.metadata.chain(), {
		"confidential": object.get(input, ["context", "labels", "confidentiality"], []),
		"origins": origins,
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
	not controls.all_from_user
	reason := reasons.of(rego.metadata.chain(), {"origins": origins, "controls": steered_by})
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
