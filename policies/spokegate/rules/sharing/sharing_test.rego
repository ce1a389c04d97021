package spokegate.rules.sharing_test

import data.spokegate
import data.spokegate.rules.sharing
import data.spokegate.testing

reason(code, message) := {"code": code, "message": message, "rule": "spokegate.rules.sharing"}

undeclared := reason(
	"sharing.undeclared",
	"The manifest of reader does not want user_data/email for this function.",
)

uncleared := reason(
	"sharing.uncleared",
	"user_data/email carries contact, which reader is not cleared for.",
)

unreviewed := reason("sharing.unreviewed", "Nobody has reviewed reader, which wants to know user_data/email.")

under_influence := reason(
	"sharing.under_influence",
	"reader is influenced by news, and wants to know user_data/email, which is confidential.",
)

declared := reason(
	"sharing.declared",
	"The manifest of reader, which is reviewed and cleared for it, wants user_data/email.",
)

request(patches) := testing.patched_in_turn(testing.to_share, patches)

asked(reasons, scopes) := object.union(
	testing.asked(reasons, scopes),
	{"prompt": {"title": "Let reader know user_data/email?"}},
)

of_nobody := {"/subject/app/trust": "unreviewed"}

granted := {
	"caller_digest": "sha256:r",
	"id": "g1",
	"scope": "session",
	"user": "alice",
	"session": "s1",
	"caller": "reader",
	"function": "user_data/email",
	"arguments_digest": "sha256:a",
	"labels": {"confidentiality": ["contact"], "integrity": []},
}

test_declared[trust] if {
	some trust in {"reviewed", "system"}
	document := request([{"/subject/app/trust": trust}])
	spokegate.decision == testing.allowed([declared]) with input as document
}

test_declared_with_nothing_confidential_under_influence if {
	document := request([testing.influenced, {"/resource/user_data/confidentiality": [], "/subject/app/clearance": []}])
	spokegate.decision == testing.allowed([declared]) with input as document
}

test_undeclared[wanted] if {
	some wanted in [[], ["find.name"], ["read.email"], ["email"]]
	document := request([{"/subject/app/user_data": wanted}])
	spokegate.decision == testing.denied([undeclared]) with input as document
}

test_undeclared_where_nothing_is_said_of_it[pointer] if {
	some pointer in {"/subject/app/user_data", "/resource/user_data/name", "/resource/user_data/function"}
	sharing.deny == {object.union(undeclared, {"hidden": false})} with input as testing.without(request([]), pointer)
}

test_undeclared_under_the_name_of_another if {
	document := request([{"/resource/id": "user_data/heart"}])
	sharing.deny == {object.union(undeclared, {
		"message": "The manifest of reader does not want user_data/heart for this function.",
		"hidden": false,
	})} with input as document
}

test_uncleared if {
	document := request([{"/subject/app/clearance": ["health"]}])
	spokegate.decision == testing.denied([uncleared]) with input as document
}

test_uncleared_where_nothing_is_said_of_what_it_carries if {
	document := testing.without(request([]), "/resource/user_data/confidentiality")
	{denial.code | some denial in sharing.deny} == {"sharing.uncleared"} with input as document
	sharing.allow == set() with input as document
}

test_unreviewed if {
	spokegate.decision == asked([unreviewed], testing.for_good) with input as request([of_nobody])
}

test_unreviewed_where_nothing_is_said_of_its_trust if {
	document := testing.without(request([]), "/subject/app/trust")
	sharing.ask == {object.union(unreviewed, {"hidden": false})} with input as document
}

test_confidential_under_influence if {
	document := request([testing.influenced])
	spokegate.decision == asked([under_influence], testing.longer) with input as document
}

test_confidential_under_unknown_influence if {
	document := testing.without(request([]), "/context/labels/integrity")
	{object.union(under_influence, {
		"message": concat(" ", [
			"reader is influenced by something unknown,",
			"and wants to know user_data/email, which is confidential.",
		]),
		"hidden": false,
	})} == sharing.ask with input as document
}

test_granted[scope] if {
	some scope in {"once", "session", "always"}
	document := request([of_nobody, {"/grants": [object.union(granted, {"scope": scope})]}])
	spokegate.decision == object.union(testing.allowed([unreviewed]), {
		"decided_by": "grant",
		"grant": "g1",
	}) with input as document
}

test_granted_until_a_time if {
	grant := object.union(granted, {"scope": "until", "expires": "2026-01-02T04:00:00Z"})
	document := request([of_nobody, {"/grants": [grant]}])
	spokegate.decision.decided_by == "grant" with input as document
}

test_granted_for_another_value[scope] if {
	some scope in {"once", "session", "until", "always"}
	grant := object.union(granted, {"scope": scope, "expires": "2026-01-02T04:00:00Z", "arguments_digest": "sha256:b"})
	document := request([of_nobody, {"/grants": [grant]}])
	spokegate.decision.effect == "ask" with input as document
}

test_no_grant_overrules_a_clearance if {
	document := request([of_nobody, {"/subject/app/clearance": [], "/grants": [granted]}])
	spokegate.decision == testing.denied([uncleared]) with input as document
}

test_no_other_request_shares if {
(sharing.deny | sharing.ask) | sharing.allow == set() with input as testing.by_spoke}
