package spokegate.rules.models_test

import data.spokegate
import data.spokegate.testing

reason(code, message) := {"code": code, "message": message, "rule": "spokegate.rules.models"}

undeclared := reason("models.undeclared", "The manifest of reader does not declare that it asks the model.")

uncleared(labels) := reason("models.uncleared", sprintf(
	"reader carries %s, which the provider of model/small is not cleared for.",
	[labels],
))

declared := reason("models.declared", "The manifest of reader declares that it asks the model.")

planner := reason("models.planner", "The hub's planner asks the model for a plan.")

of_session(limit) := reason("models.session_tokens", sprintf(
	"With this request the session could use more than %d tokens of the model.",
	[limit],
))

of_app(limit) := reason("models.app_tokens", sprintf(
	"With this request reader could use more than %d tokens of the model in this session.",
	[limit],
))

of_user(limit) := reason("models.user_tokens", sprintf(
	"With this request the user could use more than %d tokens of the model today.",
	[limit],
))

request(values) := testing.patched(testing.to_generate, values)

test_declared[trust] if {
	some trust in {"unreviewed", "reviewed", "system"}
	spokegate.decision == testing.allowed([declared]) with input as request({"/subject/app/trust": trust})
}

test_declared_under_influence_and_with_what_the_provider_may_have if {
	document := request({
		"/context/labels/confidentiality": ["contact"],
		"/context/labels/integrity": ["news"],
	})
	spokegate.decision == testing.allowed([declared]) with input as document
}

test_undeclared[note] if {
	some note, value in {"false": false, "null": null, "in words": "true"}
	spokegate.decision == testing.denied([undeclared]) with input as request({"/subject/app/asks_model": value})
}

test_undeclared_when_it_is_missing if {
	document := testing.without(testing.to_generate, "/subject/app/asks_model")
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_uncleared[note] if {
	some note, case in {
		"another label": {"labels": ["health"], "clearance": ["contact"], "said": "health"},
		"one of two": {"labels": ["contact", "health"], "clearance": ["contact"], "said": "health"},
		"nothing cleared": {"labels": ["contact"], "clearance": [], "said": "contact"},
	}
	document := request({
		"/context/labels/confidentiality": case.labels,
		"/resource/model/clearance": case.clearance,
	})
	spokegate.decision == testing.denied([uncleared(case.said)]) with input as document
}

test_the_apps_own_clearance_is_not_the_providers if {
	document := request({
		"/context/labels/confidentiality": ["health"],
		"/subject/app/clearance": ["health"],
	})
	spokegate.decision == testing.denied([uncleared("health")]) with input as document
}

budgets := {
	"session_tokens": {"limit": 2000000, "refused": of_session(2000000), "setting": "max_session_tokens"},
	"app_tokens": {"limit": 1000000, "refused": of_app(1000000), "setting": "max_app_tokens"},
	"user_tokens": {"limit": 5000000, "refused": of_user(5000000), "setting": "max_user_tokens"},
}

test_within_a_budget[name] if {
	some name, budget in budgets
	document := request({sprintf("/context/counts/%s", [name]): budget.limit})
	spokegate.decision == testing.allowed([declared]) with input as document
}

test_beyond_a_budget[name] if {
	some name, budget in budgets
	document := request({sprintf("/context/counts/%s", [name]): budget.limit + 1})
	spokegate.decision == testing.denied([budget.refused]) with input as document
}

test_beyond_a_budget_when_the_count_is_missing[name] if {
	some name, budget in budgets
	document := testing.without(testing.to_generate, sprintf("/context/counts/%s", [name]))
	spokegate.decision == testing.denied([budget.refused]) with input as document
}

test_a_site_sets_a_smaller_budget if {
	document := request({"/context/counts/app_tokens": 201})
	decision := spokegate.decision with input as document with data.site.settings as {"models": {"max_app_tokens": 200}}
	decision == testing.denied([of_app(200)])
}

test_planner if {
	spokegate.decision == testing.allowed([planner]) with input as testing.by_planner
}

test_planner_with_what_the_provider_may_not_have if {
	document := testing.patched(testing.by_planner, {"/context/labels/confidentiality": ["health"]})
	decision := spokegate.decision with input as document
	decision == testing.denied([reason(
		"models.uncleared",
		"the planner carries health, which the provider of model/small is not cleared for.",
	)])
}

test_a_site_may_ask_a_person_and_a_yes_is_for_this_or_the_session if {
	decision := spokegate.decision with input as testing.to_generate
		with data.site.ask as [{"code": "site.ask", "message": "The site says ask."}]
	asked := testing.asked(
		[{"code": "site.ask", "message": "The site says ask.", "rule": "site"}],
		["once", "session"],
	)
	decision == object.union(asked, {"prompt": {"title": "Let reader use model/small?"}})
}
