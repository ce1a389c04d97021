# METADATA
# title: Plan
# description: >-
#   What a spoke may do beside the plan that was made for the user's wish before any untrusted byte arrived. A plan
#   allows nothing by itself: it is a model's. Without a plan, as for a single call by the user, this topic has no vote.
package spokegate.rules.plan

import data.spokegate.lib.reasons
import data.spokegate.lib.request

# METADATA
# title: Not in the plan, under untrusted influence
# description: >-
#   {caller} is influenced by {origins}, and the plan for the user's wish does not expect {function}.
# custom:
#   code: plan.unexpected
ask contains reason if {
	request.by_spoke
	input.action.name == "invoke"
	"plan" in object.keys(input.context)
	not request.uninfluenced
	not request.within_app
	not expected
	reason := reasons.of(rego.metadata.chain(), {"origins": origins})
}

expected if input.context.planned == true

# A plan names the apps that are needed better than it foresees each read of one.
expected if {
	request.reads_only
	some function in input.context.plan
	split(function, ".")[0] == input.resource.app.name
}

default origins := "something unknown"

origins := input.context.labels.integrity
