package spokegate.rules.irreversible_test

import data.spokegate
import data.spokegate.rules.irreversible
import data.spokegate.testing

test_always_asked_of_a_spoke if {
	request := testing.patched(testing.by_spoke, testing.irreversible)
	spokegate.decision == testing.asked([testing.always_asked], ["once"]) with input as request
}

test_always_asked_of_an_app_for_its_own_function if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.irreversible, testing.own])
	decision := spokegate.decision with input as request
	decision.effect == "ask"
	decision.reasons == [testing.always_asked]
}

test_always_asked_of_the_user if {
	decision := spokegate.decision with input as testing.patched(testing.by_user, testing.irreversible)
	decision.effect == "ask"
	decision.reasons == [testing.always_asked]
}

test_not_asked_about_what_can_be_undone[effect] if {
	some effect in {"read", "write"}
	request := testing.patched(testing.by_user, {"/resource/function/effect": effect})
	spokegate.decision == testing.allowed([testing.user_call]) with input as request
}

test_not_asked_again_about_the_result if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.irreversible, {"/action/name": "return"}])
	spokegate.decision == testing.delivered([testing.reviewed]) with input as request
}

test_always_asked_where_the_effect_is_not_known[note] if {
	some note, document in {
		"missing": testing.without(testing.by_spoke, "/resource/function/effect"),
		"unknown": testing.patched(testing.by_spoke, {"/resource/function/effect": "execute"}),
	}
	asks := irreversible.ask with input as document
	codes := {ask.code | some ask in asks}
	codes == {"irreversible.always_asked"}
}
