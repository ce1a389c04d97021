# METADATA
# title: Prompts
# description: >-
#   What a person is told when asked. The text is made of names and labels that the hub vouches for, never of the values
#   of arguments, which the hub shows itself.
package spokegate.lib.prompts

import data.spokegate.lib.grants
import data.spokegate.lib.reasons
import data.spokegate.lib.request
import data.spokegate.settings

# METADATA
# title: Prompt for asks
# description: >-
#   Title, the sentence of each reason, the scopes that the person may choose from, and how long until may be.
about(asks) := object.union(offer, {"detail": concat(" ", [ask.message | some ask in asks])})

offer := {
	"title": title,
	"scopes": grants.scopes,
	"until_seconds": settings.limits.prompts.max_until_seconds,
}

title := reasons.filled("Let {caller} use {function}?", {}) if {
	not request.by_user
	not request.connects
	not request.shares
}

title := reasons.filled("Let {caller} connect to {function}?", {}) if {
	not request.by_user
	request.connects
}

title := reasons.filled("Let {caller} know {function}?", {}) if {
	not request.by_user
	request.shares
}

title := reasons.filled("Use {function}?", {}) if request.by_user
