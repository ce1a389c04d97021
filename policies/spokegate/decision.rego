# METADATA
# title: Spokegate
# description: >-
#   Composes the topics into one decision. What has a vote stands here by name; nothing gets one by being loaded.
package spokegate

import data.spokegate.lib.grants
import data.spokegate.lib.prompts
import data.spokegate.lib.reasons
import data.spokegate.rules.budgets
import data.spokegate.rules.direct
import data.spokegate.rules.discovery
import data.spokegate.rules.egress
import data.spokegate.rules.fatigue
import data.spokegate.rules.flows
import data.spokegate.rules.influence
import data.spokegate.rules.irreversible
import data.spokegate.rules.obligations
import data.spokegate.rules.registry
import data.spokegate.rules.requests
import data.spokegate.rules.results
import data.spokegate.rules.site

# METADATA
# title: Decision
# description: >-
#   Any deny denies. Else any ask that no grant covers asks, else any allow allows. What no rule decides is asked too,
#   and where a person was asked too often already, what would be asked is denied.
#   Defined for every document, with every member present.
# entrypoint: true
decision := {
	"effect": effect,
	"decided_by": decided_by,
	"grant": grant,
	"hidden": hidden,
	"reasons": given_reasons,
	"obligations": met_obligations,
	"prompt": prompt,
	"review_result": review_result,
}

denials := union({
	budgets.deny,
	discovery.deny,
	egress.deny,
	flows.deny,
	influence.deny,
	registry.deny,
	site.deny,
})

asks := union({
	egress.ask,
	influence.ask,
	irreversible.ask,
	site.ask,
})

allows := union({
	direct.allow,
	discovery.allow,
	egress.allow,
	influence.allow,
	requests.allow,
	results.allow,
	site.allow,
})

# METADATA
# title: Undecided
# description: No rule decides whether {caller} may use {function}.
# custom:
#   code: decision.undecided
undecided contains reason if {
	count(asks) == 0
	count(allows) == 0
	reason := reasons.of(rego.metadata.chain(), {})
}

questions := asks | undecided

default effect := "deny"

effect := "ask" if {
	would_ask
	count(fatigue.deny) == 0
}

effect := "allow" if permitted

would_ask if {
	count(denials) == 0
	count(questions) > 0
	count(grants.covering) == 0
}

permitted if permitted_by_rule

permitted if permitted_by_grant

permitted_by_rule if {
	count(denials) == 0
	count(questions) == 0
	count(allows) > 0
}

permitted_by_grant if {
	count(denials) == 0
	count(questions) > 0
	count(grants.covering) > 0
}

default decided_by := "rule"

decided_by := "grant" if permitted_by_grant

decided_by := "default" if {
	effect == "ask"
	count(undecided) > 0
}

default grant := null

grant := min(grants.covering) if permitted_by_grant

default hidden := false

hidden if {
	some denial in denials
	denial.hidden
}

# Where the document itself is not sound, what the other topics make of it is only noise.
contributed := registry.deny if count(registry.deny) > 0

contributed := denials if {
	effect == "deny"
	count(registry.deny) == 0
	not would_ask
}

contributed := questions | fatigue.deny if {
	effect == "deny"
	would_ask
}

contributed := questions if effect == "ask"

contributed := questions if permitted_by_grant

contributed := allows if permitted_by_rule

given_reasons := sort([public | some reason in contributed; public := object.remove(reason, {"hidden"})])

default prompt := null

prompt := prompts.about(given_reasons) if effect == "ask"

default met_obligations := []

met_obligations := sort(obligations.obligations | site.obligations) if effect == "allow"

default review_result := false

review_result if {
	effect == "allow"
	results.review_result
}

review_result if {
	effect == "allow"
	site.review_result
}
