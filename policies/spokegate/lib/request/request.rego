# METADATA
# title: Access request
# description: What several topics want to know of the access request. Each holds only when the fact is there and fits.
package spokegate.lib.request

# METADATA
# title: By a spoke
by_spoke if input.subject.type == "spoke"

# METADATA
# title: By the user
by_user if input.subject.type == "user"

# METADATA
# title: By the planner
by_planner if input.subject.type == "planner"

# METADATA
# title: Of the hub itself
# description: What is asked for is no app's function, but the hub's own to do.
of_hub if input.action.name in {"connect", "generate", "remember", "recall", "share"}

# METADATA
# title: Generates
# description: The asker wants an answer of the model.
generates if input.action.name == "generate"

# METADATA
# title: Remembers
# description: The asker wants to store into a memory, or to read one.
remembers if input.action.name in {"remember", "recall"}

# METADATA
# title: Shares
# description: The asker is to be told an attribute of the user.
shares if input.action.name == "share"

# METADATA
# title: Connects
# description: The asker wants to connect to a host outside of the system.
connects if input.action.name == "connect"

# METADATA
# title: Reviewed
# description: Somebody has reviewed the asking app.
reviewed if input.subject.app.trust in {"reviewed", "system"}

# METADATA
# title: Within one app
# description: The asking app is the serving app.
within_app if {
	by_spoke
	input.subject.app.name == input.resource.app.name
}

# METADATA
# title: Reads only
# description: >-
#   The function changes nothing and nothing leaves the system through it. A read with egress is none of these: its
#   arguments go out.
reads_only if {
	input.resource.function.effect == "read"
	input.resource.function.egress == false
}

# METADATA
# title: Reversible
# description: What the function does to the world can be undone.
reversible if input.resource.function.effect in {"read", "write"}

# METADATA
# title: Called for
# description: The user's words hold the verb of the function's name, or the plan for their wish expects the call.
# scope: document
called_for if input.context.called_for == true

called_for if input.context.planned == true

# METADATA
# title: Uninfluenced
# description: No untrusted origin has influenced the asker.
uninfluenced if input.context.labels.integrity == []

# METADATA
# title: Holds nothing confidential
# description: The asker carries no confidentiality label.
unconfidential if input.context.labels.confidentiality == []

# METADATA
# title: Caller in words
# description: Who asks, whatever the document holds.
# scope: document
default caller := "an unknown subject"

caller := input.subject.id if {
	by_spoke
	is_string(input.subject.id)
}

caller := "the user" if by_user

caller := "the planner" if by_planner

# METADATA
# title: Function in words
# description: What is asked for, whatever the document holds.
# scope: document
default function := "an unknown function"

function := input.resource.id if is_string(input.resource.id)

# METADATA
# title: Serving app in words
# description: Of whom it is asked, whatever the document holds.
# scope: document
default app := "an unknown app"

app := input.resource.app.name if is_string(input.resource.app.name)
