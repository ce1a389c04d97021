package spokegate.settings_test

import data.spokegate
import data.spokegate.settings
import data.spokegate.testing

test_the_defaults_without_a_site if {
	settings.limits == settings.defaults
	settings.redact_results == {}
	settings.log_only == set()
	settings.problems == set()
}

# Of each limit, by name: the default less one holds, the default plus one does not, unless it is loosened by name.
limit_names contains [group, name] if {
	some group, members in settings.defaults
	some name, _ in members
}

test_a_site_makes_a_limit_stricter[note] if {
	some [group, name] in limit_names
	note := sprintf("%s.%s", [group, name])
	value := settings.defaults[group][name] - 1
	given := {group: {name: value}}
	limits := settings.limits with data.site.settings as given
	limits == object.union(settings.defaults, given)
	problems := settings.problems with data.site.settings as given
	problems == set()
}

test_a_site_makes_no_limit_looser_in_silence[note] if {
	some [group, name] in limit_names
	note := sprintf("%s.%s", [group, name])
	value := settings.defaults[group][name] + 1
	every loosen in [[], ["budgets"], [name], [sprintf("%s.*", [group])], [sprintf("%s.other", [group])]] {
		given := {group: {name: value}, "loosen": loosen}
		limits := settings.limits with data.site.settings as given
		limits == settings.defaults
		problems := settings.problems with data.site.settings as given
		some problem in problems
		startswith(problem, sprintf("%s.%s: %d is looser than %d", [group, name, value, value - 1]))
	}
}

test_a_site_makes_a_limit_looser_by_name[note] if {
	some [group, name] in limit_names
	note := sprintf("%s.%s", [group, name])
	given := {group: {name: 123456}, "loosen": [note]}
	limits := settings.limits with data.site.settings as given
	limits == object.union(settings.defaults, {group: {name: 123456}})
	problems := settings.problems with data.site.settings as given
	problems == set()
}

test_a_limit_that_is_none_is_not_followed[note] if {
	some note, value in {
		"text": "5",
		"below zero": -1,
		"a part": 1.5,
		"null": null,
		"true": true,
		"list": [1],
		"object": {"x": 1},
	}
	given := {"budgets": {"max_hops": value}, "loosen": ["budgets.max_hops"]}
	limits := settings.limits with data.site.settings as given
	limits == settings.defaults
	problems := settings.problems with data.site.settings as given
	problems == {"budgets.max_hops: not a whole number from 0"}
}

test_a_looser_limit_lets_through_what_the_default_denies if {
	request := testing.patched(testing.by_spoke, {"/context/hop": 9})
	before := spokegate.decision with input as request
	before.effect == "deny"
	spokegate.decision == testing.delivered([testing.declared_read]) with input as request
		with data.site.settings as {"budgets": {"max_hops": 9}, "loosen": ["budgets.max_hops"]}
}

test_a_stricter_limit_denies_what_the_default_lets_through[name] if {
	some name, case in {
		"hops": {"pointer": "/context/hop", "code": "budgets.hops", "given": {"budgets": {"max_hops": 1}}},
		"session": {
			"pointer": "/context/counts/session",
			"code": "budgets.session",
			"given": {"budgets": {"max_session_calls": 1}},
		},
		"function": {
			"pointer": "/context/counts/function",
			"code": "budgets.function",
			"given": {"budgets": {"max_function_calls": 1}},
		},
		"session's rate": {
			"pointer": "/context/counts/session_minute",
			"code": "rate.session",
			"given": {"rate": {"max_session_calls_per_minute": 1}},
		},
		"function's rate": {
			"pointer": "/context/counts/function_minute",
			"code": "rate.function",
			"given": {"rate": {"max_function_calls_per_minute": 1}},
		},
	}
	request := testing.patched(testing.by_spoke, {case.pointer: 2})
	before := spokegate.decision with input as request
	before == testing.delivered([testing.declared_read])
	after := spokegate.decision with input as request with data.site.settings as case.given
	after == testing.denied(after.reasons)
	[case.code] == [reason.code | some reason in after.reasons]
}

test_a_smaller_result if {
	decision := spokegate.decision with input as testing.by_spoke
		with data.site.settings as {"results": {"max_bytes": 10}}
	decision.obligations == [{"type": "max_result_bytes", "on": "result", "value": 10}]
}

test_redacted_results if {
	table := {"archive.find": ["/ssn", "/name"]}
	decision := spokegate.decision with input as testing.by_spoke
		with data.site.settings as {"results": {"redact": table}}
	decision == object.union(testing.delivered([testing.declared_read]), {"obligations": [
		{"type": "redact", "on": "result", "pointer": "/name"},
		{"type": "redact", "on": "result", "pointer": "/ssn"},
		testing.max_result_bytes,
	]})
}

unsound := {
	"a list": {"given": [], "problem": "settings: not an object"},
	"a group that is not known": {
		"given": {"budget": {}},
		"problem": "budget: no such setting; there are budgets, loosen, models, modes, prompts, rate, results",
	},
	"a group in words": {"given": {"budgets": "none"}, "problem": "budgets: not an object"},
	"modes in words": {"given": {"modes": "log-only"}, "problem": "modes: not an object"},
	"a limit that is not known": {
		"given": {"results": {"max_size": 1}},
		"problem": "results.max_size: no such setting; there are max_bytes, redact",
	},
	"redaction of another group": {
		"given": {"budgets": {"redact": {}}},
		"problem": concat("", [
			"budgets.redact: no such setting; ",
			"there are max_function_calls, max_hops, max_session_calls",
		]),
	},
	"a table that is a list": {
		"given": {"results": {"redact": ["/x"]}},
		"problem": "results.redact: not lists of pointers by function",
	},
	"a table of words": {
		"given": {"results": {"redact": {"archive.find": "/x"}}},
		"problem": "results.redact: not lists of pointers by function",
	},
	"a table of other pointers": {
		"given": {"results": {"redact": {"archive.find": ["x"]}}},
		"problem": "results.redact: not lists of pointers by function",
	},
	"loosen in words": {"given": {"loosen": "budgets.max_hops"}, "problem": "loosen: not a list"},
	"a limit to loosen that is not known": {
		"given": {"loosen": ["max_hops"]},
		"problem": sprintf("loosen: max_hops: no such limit; there are %s", [concat(", ", sort([
			"budgets.max_function_calls",
			"budgets.max_hops",
			"budgets.max_session_calls",
			"models.max_app_tokens",
			"models.max_session_tokens",
			"models.max_user_tokens",
			"prompts.max_session_prompts",
			"prompts.max_until_seconds",
			"rate.max_function_calls_per_minute",
			"rate.max_session_calls_per_minute",
			"results.max_bytes",
		]))]),
	},
	"a package that is not known": {
		"given": {"modes": {"flow": "log-only"}},
		"problem": sprintf("modes.flow: no mode can be set for it; there are %s", [switchable_in_words]),
	},
	"a package that must be enforced": {
		"given": {"modes": {"registry": "log-only"}},
		"problem": sprintf("modes.registry: no mode can be set for it; there are %s", [switchable_in_words]),
	},
	"a mode that is not known": {
		"given": {"modes": {"flows": "off"}},
		"problem": "modes.flows: neither enforce nor log-only",
	},
}

test_problems[note] if {
	some note, case in unsound
	problems := settings.problems with data.site.settings as case.given
	problems == {case.problem}

	denied := spokegate.decision with input as testing.by_spoke with data.site.settings as case.given
	denied == testing.denied([{
		"code": "tuning.unsound_settings",
		"message": sprintf("The settings of the site cannot be followed: %s.", [case.problem]),
		"rule": "spokegate.rules.tuning",
	}])
}

switchable_in_words := concat(", ", sort([name | some name in settings.switchable]))

test_modes if {
	given := {"modes": {"flows": "log-only", "rate": "enforce", "site": "log-only"}}
	log_only := settings.log_only with data.site.settings as given
	log_only == {"flows", "site"}
	problems := settings.problems with data.site.settings as given
	problems == set()
}

test_what_is_not_log_only_enforces[note] if {
	some note, modes in {
		"another word": {"flows": "log_only"},
		"true": {"flows": true},
		"what must be enforced": {"registry": "log-only", "tuning": "log-only"},
		"in words": "log-only",
	}
	log_only := settings.log_only with data.site.settings as {"modes": modes}
	log_only == set()
}
