# METADATA
# title: Models
# description: >-
#   Who may ask the model, with which labels, and for how many tokens. What an app asks goes to the model's provider,
#   whole, so whatever the app carries goes with it; what comes back is made of that and of nothing else.
package spokegate.rules.models

import data.spokegate.lib.reasons
import data.spokegate.lib.request
import data.spokegate.settings

# METADATA
# title: Undeclared use of the model
# description: The manifest of {caller} does not declare that it asks the model.
# custom:
#   code: models.undeclared
deny contains reason if {
	request.generates
	not declared
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Confidential data for an uncleared provider
# description: "{caller} carries {labels}, which the provider of {function} is not cleared for."
# custom:
#   code: models.uncleared
deny contains reason if {
	request.generates
	not cleared
	reason := reasons.of(rego.metadata.chain(), {"labels": carried - clearance})
}

# METADATA
# title: Session out of tokens
# description: With this request the session could use more than {limit} tokens of the model.
# custom:
#   code: models.session_tokens
deny contains reason if {
	request.generates
	not within_session
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.models.max_session_tokens]})
}

# METADATA
# title: App out of tokens
# description: With this request {caller} could use more than {limit} tokens of the model in this session.
# custom:
#   code: models.app_tokens
deny contains reason if {
	request.generates
	not within_app
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.models.max_app_tokens]})
}

# METADATA
# title: User out of tokens
# description: With this request the user could use more than {limit} tokens of the model today.
# custom:
#   code: models.user_tokens
deny contains reason if {
	request.generates
	not within_user
	reason := reasons.of(rego.metadata.chain(), {"limit": [settings.limits.models.max_user_tokens]})
}

# METADATA
# title: Declared use of the model
# description: The manifest of {caller} declares that it asks the model.
# custom:
#   code: models.declared
allow contains reason if {
	request.generates
	request.by_spoke
	declared
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Planner
# description: The hub's planner asks the model for a plan.
# custom:
#   code: models.planner
allow contains reason if {
	request.generates
	request.by_planner
	reason := reasons.of(rego.metadata.chain(), {})
}

declared if request.by_planner

declared if {
	request.by_spoke
	input.subject.app.asks_model == true
}

cleared if {
	every label in input.context.labels.confidentiality {
		label in clearance
	}
}

within_session if input.context.counts.session_tokens <= settings.limits.models.max_session_tokens

within_app if input.context.counts.app_tokens <= settings.limits.models.max_app_tokens

within_user if input.context.counts.user_tokens <= settings.limits.models.max_user_tokens

carried contains label if some label in input.context.labels.confidentiality

clearance contains label if some label in input.resource.model.clearance
