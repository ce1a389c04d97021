# METADATA
# title: Memory
# description: >-
#   What an app remembers of a user is for that app alone, and what the hub remembers is for its planner. What is told
#   carries the labels that it had when it was stored, and an app's own memory tells it nothing that it did not have: so
#   there is nothing more to decide here, and what becomes of it is for the other topics.
package spokegate.rules.memory

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Undeclared memory
# description: The manifest of {caller} does not declare that it remembers the user.
# custom:
#   code: memory.undeclared
deny contains reason if {
	request.remembers
	request.by_spoke
	not declared
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Memory of another
# description: What {function} holds is not for {caller}.
# custom:
#   code: memory.of_another
deny contains reason if {
	request.remembers
	not own
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Own memory
# description: What {function} holds is {caller}'s own.
# custom:
#   code: memory.own
allow contains reason if {
	request.remembers
	own
	reason := reasons.of(rego.metadata.chain(), {})
}

declared if input.subject.app.remembers == true

own if {
	request.by_spoke
	of_app == input.subject.app.name
	of_app != "hub"
}

own if {
	request.by_planner
	of_app == "hub"
}

of_app := app if {
	app := input.resource.memory.app
	input.resource.id == concat("/", ["memory", app])
}
