package spokegate.rules.egress_test

import data.spokegate
import data.spokegate.rules.egress
import data.spokegate.testing

reason(code, message) := {"code": code, "message": message, "rule": "spokegate.rules.egress"}

undeclared := reason(
	"egress.undeclared",
	"The manifest of reader does not declare that it connects to api.example.org:443.",
)

uncleared := reason("egress.uncleared", concat("", [
	"reader carries health, which it is not cleared for, ",
	"so it may not send it out to api.example.org:443.",
]))

confidential_under_influence := reason("egress.confidential_under_influence", concat("", [
	"reader carries confidential data (health) and is influenced by news; ",
	"api.example.org:443 is outside of the system.",
]))

unreviewed := reason(
	"egress.unreviewed",
	"Nobody has reviewed reader, which wants to connect to api.example.org:443.",
)

under_influence := reason(
	"egress.under_influence",
	"reader is influenced by news, and wants to connect to api.example.org:443.",
)

declared := reason(
	"egress.declared",
	"The manifest of reader, which is reviewed, declares that it connects to api.example.org:443.",
)

origin := "untrusted:api.example.org:443"

health := {"/context/labels/confidentiality": ["health"]}

cleared := {"/subject/app/clearance": ["health"]}

of_nobody := {"/subject/app/trust": "unreviewed"}

heard(origins) := {"/context/labels/integrity": origins}

request(patches) := testing.patched_in_turn(testing.to_connect, patches)

asked(reasons) := object.union(testing.asked(reasons, ["once", "session"]), {"prompt": {"title": concat("", [
	"Let reader connect to ",
	"api.example.org:443?",
])}})

granted := {
	"caller_digest": "sha256:r",
	"id": "g1",
	"scope": "session",
	"user": "alice",
	"session": "s1",
	"caller": "reader",
	"function": "api.example.org:443",
	"constraint": {},
	"labels": {"confidentiality": [], "integrity": [origin]},
}

test_declared[trust] if {
	some trust in {"reviewed", "system"}
	document := request([{"/subject/app/trust": trust}])
	spokegate.decision == testing.allowed([declared]) with input as document
}

test_declared_whatever_the_scheme[scheme] if {
	some scheme in {"http", "https", "connect"}
	document := request([{"/resource/host/scheme": scheme}])
	spokegate.decision == testing.allowed([declared]) with input as document
}

test_declared_and_heard_from_before if {
	spokegate.decision == testing.allowed([declared]) with input as request([heard([origin])])
}

test_undeclared[note] if {
	some note, egress in {
		"nothing": [],
		"another host": ["api.example.com:443"],
		"another port": ["api.example.org:80"],
		"the host alone": ["api.example.org"],
		"a wildcard": ["*.example.org:443", "*"],
		"a longer name": ["api.example.org:4433", "an-api.example.org:443"],
	}
	document := request([{"/subject/app/egress": egress}])
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_undeclared_whatever_the_trust_and_the_grants if {
	document := request([{"/subject/app/trust": "system", "/subject/app/egress": [], "/grants": [granted]}])
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_undeclared_where_the_app_asks_for_everything if {
	document := request([{"/subject/app/egress": [], "/subject/app/asks": ["*"]}])
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_uncleared if {
	spokegate.decision == testing.denied([uncleared]) with input as request([health])
}

test_uncleared_whatever_the_grants if {
	labels := {"confidentiality": ["health"], "integrity": []}
	document := request([health, {"/grants": [object.union(granted, {"labels": labels})]}])
	spokegate.decision == testing.denied([uncleared]) with input as document
}

test_cleared if {
	spokegate.decision == testing.allowed([declared]) with input as request([health, cleared])
}

test_cleared_and_heard_from_the_host_itself if {
	spokegate.decision == testing.allowed([declared]) with input as request([health, cleared, heard([origin])])
}

test_confidential_under_influence if {
	document := request([health, cleared, heard([origin, "news"])])
	spokegate.decision == testing.denied([confidential_under_influence]) with input as document
}

test_confidential_under_influence_of_another_host if {
	document := request([health, cleared, heard(["untrusted:api.example.org:80"])])
	decision := spokegate.decision with input as document
	["egress.confidential_under_influence"] == [given.code | some given in decision.reasons]
	decision == testing.denied(decision.reasons)
}

test_unreviewed if {
	spokegate.decision == asked([unreviewed]) with input as request([of_nobody])
}

test_unreviewed_where_a_person_agreed if {
	document := request([of_nobody, heard([origin]), {"/grants": [granted]}])
	expected := object.union(testing.allowed([unreviewed]), {"decided_by": "grant", "grant": "g1"})
	spokegate.decision == expected with input as document
}

test_unreviewed_where_a_person_agreed_once if {
	once := object.union(granted, {"scope": "once", "arguments_digest": "sha256:a"})
	document := request([of_nobody, {"/grants": [once]}])
	expected := object.union(testing.allowed([unreviewed]), {"decided_by": "grant", "grant": "g1"})
	spokegate.decision == expected with input as document
}

test_no_grant_covers_more[note] if {
	some note, changes in {
		"another host": {"function": "api.example.org:80"},
		"another app": {"caller": "archive"},
		"a constraint": {"constraint": {"/method": "GET"}},
		"another version of the app": {"caller_digest": "sha256:changed"},
		"another session": {"session": "s2"},
		"another request": {"arguments_digest": "sha256:b"},
		"an app that serves": {"target_digest": "sha256:f"},
		"until a time": {"scope": "until", "expires": "2027-01-01T00:00:00Z"},
		"until a time, exactly": {"scope": "until", "expires": "2027-01-01T00:00:00Z", "arguments_digest": "sha256:a"},
		"for good": {"scope": "always"},
		"for good, exactly": {"scope": "always", "arguments_digest": "sha256:a"},
	}
	document := request([of_nobody, {"/grants": [object.union(granted, changes)]}])
	spokegate.decision == asked([unreviewed]) with input as document
}

test_no_grant_for_a_host_covers_a_function if {
	document := testing.patched_in_turn(testing.by_spoke, [
		testing.irreversible,
		{"/grants": [object.union(granted, {"function": "archive.find"})]},
	])
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as document
}

test_under_influence if {
	spokegate.decision == asked([under_influence]) with input as request([heard([origin, "news"])])
}

test_under_influence_and_unreviewed if {
	document := request([of_nobody, heard(["news"])])
	spokegate.decision == asked([under_influence, unreviewed]) with input as document
}

test_no_other_action_is_of_concern[action] if {
	some action in {"invoke", "probe", "return"}
	document := request([of_nobody, health, heard(["news"]), {"/action/name": action}])
	votes := [egress.deny, egress.ask, egress.allow] with input as document
	votes == [set(), set(), set()]
}

test_denied_where_nothing_is_known[pointer] if {
	some pointer, code in {
		"/subject": "egress.undeclared",
		"/subject/app/egress": "egress.undeclared",
		"/resource": "egress.undeclared",
		"/context": "egress.uncleared",
		"/context/labels/confidentiality": "egress.uncleared",
		"/context/labels/integrity": "egress.confidential_under_influence",
	}
	denials := egress.deny with input as testing.without(request([health, cleared]), pointer)
	code in {denial.code | some denial in denials}
}

test_asked_where_nothing_is_known[pointer] if {
	some pointer, code in {
		"/subject/app/trust": "egress.unreviewed",
		"/context/labels/integrity": "egress.under_influence",
	}
	asks := egress.ask with input as testing.without(testing.to_connect, pointer)
	code in {ask.code | some ask in asks}
}

test_asked_where_the_host_is_not_known if {
	asks := egress.ask with input as testing.without(request([heard([origin])]), "/resource/host")
	{ask.code | some ask in asks} == {"egress.under_influence"}
}

test_not_allowed_where_nothing_is_known[pointer] if {
	some pointer in {"/subject/app/egress", "/subject/app/trust", "/context/labels/integrity", "/resource/id"}
	allows := egress.allow with input as testing.without(testing.to_connect, pointer)
	count(allows) == 0
}
