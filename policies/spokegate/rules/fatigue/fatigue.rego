# METADATA
# title: Fatigue
# description: >-
#   How often apps may have a person asked. Who is asked too often, or again what they said no to, says yes without
#   reading, so past that it is a no. It has a say only where a person would be asked.
package spokegate.rules.fatigue

import data.spokegate.lib.reasons
import data.spokegate.lib.request
import data.spokegate.settings

# METADATA
# title: Too many prompts
# description: A person has been asked {limit} times in this session, so {caller} is refused instead of asking again.
# custom:
#   code: fatigue.prompts
deny contains reason if {
	not request.by_user
	not within_prompts
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.prompts.max_session_prompts]})
}

# METADATA
# title: Declined already
# description: A person has said no to just this request of {caller}, and the user has said nothing since.
# custom:
#   code: fatigue.declined
deny contains reason if {
	not request.by_user
	not never_declined
	reason := reasons.of(rego.metadata.chain(), {})
}

never_declined if input.context.counts.declined == 0

within_prompts if input.context.counts.prompts < settings.limits.prompts.max_session_prompts
