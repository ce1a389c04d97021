# METADATA
# title: Discovery
# description: >-
#   A spoke learns of, and asks for, nothing but its own app's functions and those that its manifest declares. Of any
#   other it hears what it would hear if there were none of that name.
package spokegate.rules.discovery

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Undeclared function
# description: The manifest of {caller} does not declare that it asks for {function}.
# custom:
#   code: discovery.undeclared
#   hidden: true
deny contains reason if {
	not request.of_hub
	not discoverable
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Probe of a declared function
# description: The manifest of {caller} declares that it asks for {function}, or it is its own.
# custom:
#   code: discovery.declared
allow contains reason if {
	input.action.name == "probe"
	declared
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Probe by the user
# description: The user may know of every function.
# custom:
#   code: discovery.user
allow contains reason if {
	input.action.name == "probe"
	request.by_user
	reason := reasons.of(rego.metadata.chain(), {})
}

discoverable if request.by_user

discoverable if declared

# METADATA
# title: Declared
# scope: document
# description: The function is the asking app's own, or its manifest asks for it by name, by app or as one of all.
declared if request.within_app

declared if {
	request.by_spoke
	some pattern in {input.resource.id, concat(".", [input.resource.app.name, "*"]), "*"}
	pattern in input.subject.app.asks
}
