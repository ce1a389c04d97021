package spokegate_test

import data.spokegate
import data.spokegate.settings
import data.spokegate.testing

site := {
	"deny": {"code": "site.deny", "message": "No."},
	"ask": {"code": "site.ask", "message": "Perhaps."},
	"allow": {"code": "site.allow", "message": "Yes."},
}

# Access requests of every outcome, each decided by another package.
requests := {
	"allowed to the user": testing.by_user,
	"allowed to a spoke": testing.by_spoke,
	"allowed by influence": testing.patched_in_turn(testing.by_spoke, [testing.write, testing.influenced]),
	"allowed by a directed write": testing.patched(testing.by_spoke, testing.write),
	"allowed result": testing.patched(testing.by_spoke, {"/action/name": "return"}),
	"allowed probe": testing.patched(testing.by_spoke, {"/action/name": "probe"}),
	"denied for a result": testing.patched(testing.by_spoke, {"/resource/function/labels/confidentiality": ["health"]}),
	"allowed and reviewed": testing.patched(testing.by_spoke, {
		"/resource/function/labels/confidentiality": ["health"],
		"/subject/app/clearance": ["health"],
	}),
	"asked for influence": testing.patched_in_turn(testing.by_spoke, [
		testing.write,
		testing.influenced,
		testing.foreign,
	]),
	"asked for what cannot be undone": testing.patched(testing.by_spoke, testing.irreversible),
	"asked beside the plan": testing.patched_in_turn(testing.by_spoke, [testing.influenced, {"/context/plan": []}]),
	"undecided": testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign]),
	"denied for hops": testing.patched(testing.by_spoke, {"/context/hop": 9}),
	"denied for the rate": testing.patched(testing.by_user, {"/context/counts/session_minute": 601}),
	"denied for discovery": testing.patched(testing.by_spoke, {"/subject/app/asks": []}),
	"denied for a flow": testing.patched(testing.by_spoke, {"/context/labels/confidentiality": ["health"]}),
	"denied for flow and hops": testing.patched(testing.by_spoke, {
		"/context/labels/confidentiality": ["health"],
		"/context/hop": 9,
	}),
	"denied as malformed": testing.patched(testing.by_spoke, {"/version": 2}),
	"allowed to connect": testing.to_connect,
	"asked to connect": testing.patched(testing.to_connect, {"/subject/app/trust": "unreviewed"}),
	"denied to connect": testing.patched(testing.to_connect, {"/subject/app/egress": []}),
	"allowed to generate": testing.to_generate,
	"denied to generate": testing.patched(testing.to_generate, {"/subject/app/asks_model": false}),
	"nothing": {},
}

sites := {
	"none": {},
	"denies": {"deny": [site.deny]},
	"asks": {"ask": [site.ask]},
	"allows": {"allow": [site.allow]},
	"obliges": {"obligations": [{"type": "drop", "on": "arguments", "pointer": "/text"}], "review_result": true},
	"relabels": {
		"obligations": [{"type": "relabel", "on": "result", "confidentiality": ["health"], "integrity": []}],
		"settings": {"loosen": ["results.relabel"]},
	},
	"is malformed": {"deny": "no"},
}

# For each package: in log-only mode it changes nothing of what the rest decides without it, and what it would have
# changed is in the shadow.
as_the_rest(shadowed, whole, rest) if {
	object.remove(shadowed, ["shadow"]) == object.remove(rest, ["shadow"])
	shadowed.shadow == difference(object.filter(whole, recorded), object.filter(shadowed, recorded))
}

difference(would_be, is) := would_be if would_be != is

difference(would_be, is) := null if would_be == is

recorded := ["effect", "reasons", "obligations", "review_result"]

test_log_only_budgets[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"budgets": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.budgets.deny as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_direct[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"direct": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.direct.allow as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_discovery[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"discovery": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.discovery.deny as set()
		with spokegate.rules.discovery.allow as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_egress[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"egress": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.egress.deny as set()
		with spokegate.rules.egress.ask as set()
		with spokegate.rules.egress.allow as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_flows[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"flows": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.flows.deny as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_influence[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"influence": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.influence.deny as set()
		with spokegate.rules.influence.ask as set()
		with spokegate.rules.influence.allow as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_irreversible[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"irreversible": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.irreversible.ask as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_models[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"models": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.models.deny as set()
		with spokegate.rules.models.allow as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_obligations[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"obligations": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.obligations.obligations as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_plan[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"plan": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.plan.ask as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_rate[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"rate": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.rate.deny as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_requests[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"requests": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.requests.allow as set()
	as_the_rest(shadowed, whole, rest)
}

test_log_only_results[note] if {
	some note, request in requests
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": {"results": "log-only"}}
	whole := spokegate.decision with input as request
	rest := spokegate.decision with input as request
		with spokegate.rules.results.allow as set()
		with spokegate.rules.results.review_result as false
	as_the_rest(shadowed, whole, rest)
}

test_log_only_obligations_take_off_no_label if {
	request := requests["denied for a result"]
	decision := spokegate.decision with input as request
		with data.site.settings as {"modes": {"obligations": "log-only"}}
		with spokegate.settings.relabel_results as {"archive.find": {"confidentiality": ["health"]}}
	decision.effect == "deny"
	decision.shadow.effect == "allow"
	enforced := spokegate.decision with input as request
		with spokegate.settings.relabel_results as {"archive.find": {"confidentiality": ["health"]}}
	enforced.effect == "allow"
}

test_log_only_site[note] if {
	some asked in ["allowed to a spoke", "asked for influence", "undecided", "denied for a result"]
	request := requests[asked]
	some kind, contributed in sites
	note := sprintf("%s, site %s", [asked, kind])
	shadowed := spokegate.decision with input as request
		with data.site as object.union(contributed, {"settings": {"modes": {"site": "log-only"}}})
	whole := spokegate.decision with input as request with data.site as contributed
	rest := spokegate.decision with input as request with data.site as {}
	as_the_rest(shadowed, whole, rest)
}

test_all_in_log_only_allow_nothing_and_lose_nothing[note] if {
	some note, request in requests
	modes := {name: "log-only" | some name in settings.switchable}
	shadowed := spokegate.decision with input as request with data.site.settings as {"modes": modes}
	shadowed.effect != "allow"
	whole := spokegate.decision with input as request
	shadowed.shadow == difference(object.filter(whole, recorded), object.filter(shadowed, recorded))
}

test_a_deny_in_log_only_is_named_in_the_shadow if {
	request := requests["denied for a flow"]
	decision := spokegate.decision with input as request
		with data.site.settings as {"modes": {"flows": "log-only"}}
	decision == object.union(testing.delivered([testing.declared_read]), {"shadow": {
		"effect": "deny",
		"reasons": [{
			"code": "flows.caller_to_uncleared",
			"message": "reader carries health, which archive is not cleared for.",
			"rule": "spokegate.rules.flows",
		}],
		"obligations": [],
		"review_result": false,
	}})
}

test_an_allow_in_log_only_does_not_allow if {
	decision := spokegate.decision with input as testing.by_spoke
		with data.site.settings as {"modes": {"requests": "log-only"}}
	decision == object.union(testing.undecided(testing.for_good), {"shadow": {
		"effect": "allow",
		"reasons": [testing.declared_read],
		"obligations": [testing.max_result_bytes],
		"review_result": false,
	}})
}

test_every_package_that_has_a_vote_has_a_mode_or_must_be_enforced if {
	voting := {name |
		some by_package in [
			spokegate.denies_of,
			spokegate.asks_of,
			spokegate.allows_of,
			spokegate.obligations_of,
			spokegate.reviews_of,
		]
		some name, _ in by_package
	}
	voting == settings.switchable | {"registry", "tuning"}
}
