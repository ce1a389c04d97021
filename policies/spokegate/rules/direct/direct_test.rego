package spokegate.rules.direct_test

import data.spokegate
import data.spokegate.rules.direct
import data.spokegate.testing

test_the_user_may_read_and_write[effect] if {
	some effect in {"read", "write"}
	request := testing.patched(testing.by_user, {"/resource/function/effect": effect})
	spokegate.decision == testing.allowed([testing.user_call]) with input as request
}

test_the_user_may_send_out_of_the_system if {
	request := testing.patched(testing.by_user, {"/resource/function/egress": true})
	spokegate.decision == testing.allowed([testing.user_call]) with input as request
}

test_the_user_is_asked_before_what_cannot_be_undone if {
	request := testing.patched(testing.by_user, testing.irreversible)
	expected := object.union(
		testing.asked([testing.always_asked], ["once"]),
		{"prompt": {"title": "Use archive.find?"}},
	)
	spokegate.decision == expected with input as request
}

test_a_spoke_does_not_pass_for_the_user if {
	request := testing.patched_in_turn(testing.by_spoke, [testing.write, testing.foreign])
	spokegate.decision == testing.undecided(testing.for_good) with input as request
}

test_no_allow_of_what_cannot_be_undone if {
	allows := direct.allow with input as testing.patched(testing.by_user, testing.irreversible)
	count(allows) == 0
}
