# METADATA
# title: Requests between apps
# description: What a spoke may ask of another without a person being asked.
package spokegate.rules.requests

import data.spokegate.lib.controls
import data.spokegate.lib.reasons
import data.spokegate.lib.request
import data.spokegate.rules.discovery

# METADATA
# title: Declared read
# description: The manifest of {caller} declares that it asks for {function}, which only reads.
# custom:
#   code: requests.declared_read
allow contains reason if {
	input.action.name == "invoke"
	discovery.declared
	request.reads_only
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Write that the user directs
# description: The user's own words say what {function} is to act on, and nothing untrusted has influenced {caller}.
# custom:
#   code: requests.user_directed_write
allow contains reason if {
	input.action.name == "invoke"
	discovery.declared
	request.reversible
	not request.reads_only
	request.uninfluenced
	controls.all_from_user
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Write to what is there
# description: >-
#   Nothing untrusted has influenced {caller}, which is reviewed, the user calls for {function}, and what it is to act
#   on is what they said or is known to be there.
# custom:
#   code: requests.known_control
allow contains reason if {
	input.action.name == "invoke"
	discovery.declared
	request.reversible
	not request.reads_only
	request.uninfluenced
	request.reviewed
	request.called_for
	controls.all_known
	not controls.all_from_user
	reason := reasons.of(rego.metadata.chain(), {})
}
