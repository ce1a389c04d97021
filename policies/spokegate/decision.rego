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
import data.spokegate.rules.memory
import data.spokegate.rules.models
import data.spokegate.rules.obligations
import data.spokegate.rules.plan
import data.spokegate.rules.rate
import data.spokegate.rules.registry
import data.spokegate.rules.requests
import data.spokegate.rules.results
import data.spokegate.rules.sharing
import data.spokegate.rules.site
import data.spokegate.rules.tuning

# It is another package, not a rule of this one.
# regal ignore:pointless-import
import data.spokegate.settings

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
	"shadow": shadow,
}

# METADATA
# title: Shadow
# scope: document
# description: >-
#   What would have been decided if the packages in log-only mode were enforced, where that is something else; null
#   otherwise. It has no part in what is decided.
default shadow := null

shadow := would_be if {
	count(settings.log_only) > 0

	# Costs a second evaluation, and only where a package is in log-only mode; it is the same rules by construction.
	# regal ignore:with-outside-test-context
	would_be := settled with settings.log_only as set()
	would_be != settled
}

settled := {
	"effect": effect,
	"reasons": given_reasons,
	"obligations": met_obligations,
	"review_result": review_result,
}

# What has a vote stands below, by package; a package in log-only mode has none.
enforced(by_package) := {given | some given in object.remove(by_package, settings.log_only)}

denials := union(enforced(denies_of))

denies_of := {
	"budgets": budgets.deny,
	"discovery": discovery.deny,
	"egress": egress.deny,
	"flows": flows.deny,
	"influence": influence.deny,
	"memory": memory.deny,
	"models": models.deny,
	"rate": rate.deny,
	"registry": registry.deny,
	"sharing": sharing.deny,
	"site": site.deny,
	"tuning": tuning.deny,
}

asks := union(enforced(asks_of))

asks_of := {
	"egress": egress.ask,
	"influence": influence.ask,
	"irreversible": irreversible.ask,
	"plan": plan.ask,
	"sharing": sharing.ask,
	"site": site.ask,
}

allows := union(enforced(allows_of))

allows_of := {
	"direct": direct.allow,
	"discovery": discovery.allow,
	"egress": egress.allow,
	"influence": influence.allow,
	"memory": memory.allow,
	"models": models.allow,
	"requests": requests.allow,
	"results": results.allow,
	"sharing": sharing.allow,
	"site": site.allow,
}

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

met_obligations := sort(union(enforced(obligations_of))) if effect == "allow"

obligations_of := {"obligations": obligations.obligations, "site": site.obligations}

default review_result := false

review_result if {
	effect == "allow"
	true in enforced(reviews_of)
}

reviews_of := {"results": results.review_result, "site": site.review_result}
