# METADATA
# title: Fatigue
# description: >-
#   How often apps may have a person asked. Who is asked too often says yes without reading, so past that it is a no. It
#   has a say only where a person would be asked.
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

within_prompts if input.context.counts.prompts < settings.limits.prompts.max_session_prompts
