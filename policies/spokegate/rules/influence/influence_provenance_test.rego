package spokegate.rules.influence_test

import data.spokegate
import data.spokegate.rules.influence
import data.spokegate.testing

reviewed := {"/subject/app/trust": "reviewed"}

# Two control arguments and a content argument.
letter := {
	"/resource/function/effect": "write",
	"/resource/function/control_arguments": ["/to", "/box"],
	"/arguments": {"to": "bob", "box": "box 7", "text": "the parcel is in box seven"},
}

said := {"user": true, "from": []}

unsaid := {"user": false, "from": []}

quoted := {"user": false, "from": ["news.read"]}

leaf := {"user": false, "from": ["archive.list"], "leaf_of": ["archive.list"]}

listed := object.union(leaf, {"identifier_of": ["archive.list"]})

of_source(labels) := {
	"user": false,
	"from": ["news.read"],
	"named_source": {"confidentiality": labels, "integrity": ["news"]},
}

mostly_said := {"user": false, "from": [], "user_share": 0.8}

with_link := {"user": false, "from": ["news.read"], "links": ["www.evil.example"]}

from(to, box, text) := {"/context/provenance": {"/to": to, "/box": box, "/text": text}}

called_for := {"/context/called_for": true}

judged(patches) := request(array.concat([letter, testing.influenced, reviewed], patches))

steered_by_to_and_box := {
	"code": "influence.untrusted_control",
	"message": concat("", [
		"reader is influenced by news, and what steers archive.find (/to, /box) ",
		"is not in the user's own words.",
	]),
	"rule": "spokegate.rules.influence",
}

user_dictated := {
	"code": "influence.user_dictated",
	"message": concat("", [
		"reader is influenced by news, but what archive.find carries is the user's own text, ",
		"and what it acts on is known to be there.",
	]),
	"rule": "spokegate.rules.influence",
}

user_called := {
	"code": "influence.user_called",
	"message": concat("", [
		"reader is influenced by news, but the user's own words call for archive.find and say whom or what it is about; ",
		"what they leave open is known to be there, or said by a source that they named.",
	]),
	"rule": "spokegate.rules.influence",
}

untrusted_link := {
	"code": "influence.untrusted_link",
	"message": concat("", [
		"reader is influenced by news, and archive.find would send out links that the user did not name ",
		"(in /text).",
	]),
	"rule": "spokegate.rules.influence",
}

untrusted_irreversible := {
	"code": "influence.untrusted_irreversible",
	"message": concat("", [
		"reader is influenced by news; what archive.find does cannot be undone, and that it is to do it to just this ",
		"(/to, /box) is the word of some text that the user did not name.",
	]),
	"rule": "spokegate.rules.influence",
}

test_user_dictated[note] if {
	some note, provenance in {
		"all of it said": from(listed, listed, said),
		"most of it said": from(listed, listed, mostly_said),
		"to whom the user named, and something that is there": from(said, listed, said),
	}
	spokegate.decision == testing.delivered([user_dictated]) with input as judged([provenance, egress])
}

test_not_dictated[note] if {
	some note, patches in {
		"too little of it": [from(listed, listed, object.union(mostly_said, {"user_share": 0.7}))],
		"nothing of it": [from(listed, listed, unsaid)],
		"to what nobody knows": [from(listed, quoted, said)],
		"to what is only a leaf": [from(listed, leaf, said)],
		"few words": [from(listed, listed, said), {"/arguments/text": "do it"}],
		"by an unreviewed app": [from(listed, listed, said), {"/subject/app/trust": "unreviewed"}],
		"with another's number": [from(listed, listed, said), {
			"/arguments/amount": 100,
			"/context/provenance/~1amount": unsaid,
		}],
		"with what has no provenance": [from(listed, listed, said), {"/arguments/deep": {"a": 1}}],
		"a number as text": [from(listed, listed, mostly_said), {"/arguments/text": 12345}],
		"no text at all": [from(listed, listed, said), {"/arguments": {"to": "bob", "box": "box 7"}}],
	}
	spokegate.decision == testing.asked([steered_by_to_and_box], testing.longer) with input as judged(patches)
}

test_dictated_with_the_users_number if {
	spokegate.decision == testing.delivered([user_dictated]) with input as judged([from(listed, listed, said), {
		"/arguments/amount": 100,
		"/context/provenance/~1amount": said,
	}])
}

test_user_called[note] if {
	some note, patches in {
		"with what is there": [from(said, listed, unsaid), called_for],
		"with what a source says that the user named": [from(said, of_source([]), unsaid), called_for, egress],
		"by the plan": [from(said, listed, unsaid), {"/context/planned": true}],
	}
	spokegate.decision == testing.delivered([user_called]) with input as judged(patches)
}

test_not_called[note] if {
	some note, patches in {
		"for nothing": [from(said, listed, unsaid)],
		"nobody is named": [from(listed, listed, unsaid), called_for],
		"what is there is chosen, and something leaves": [from(said, listed, unsaid), called_for, egress],
		"a source says it that nobody named": [from(said, quoted, unsaid), called_for],
		"it stands nowhere": [from(said, unsaid, unsaid), called_for],
		"it is only a leaf": [from(said, leaf, unsaid), called_for],
		"by an unreviewed app": [from(said, listed, unsaid), called_for, {"/subject/app/trust": "unreviewed"}],
		"an object steers too": [from(said, listed, unsaid), called_for, {"/arguments/box": {"a": "b"}}],
	}
	spokegate.decision == testing.asked([steered_by_to_and_box], testing.longer) with input as judged(patches)
}

test_untrusted_link_even_to_whom_the_user_named if {
	spokegate.decision == testing.asked([untrusted_link], testing.longer) with input as judged([
		from(said, said, with_link),
		egress,
	])
}

test_untrusted_link_in_a_part_of_the_content if {
	expected := object.union(untrusted_link, {"message": concat("", [
		"reader is influenced by news, and archive.find would send out links that the user did not name ",
		"(in /text/1).",
	])})
	spokegate.decision == testing.asked([expected], testing.longer) with input as judged([
		from(said, said, unsaid),
		{
			"/arguments/text": ["look", "www.evil.example"],
			"/context/provenance/~1text~10": unsaid,
			"/context/provenance/~1text~11": with_link,
		},
		egress,
	])
}

test_no_untrusted_link[note] if {
	some note, patches in {
		"where nothing leaves": [from(said, said, with_link)],
		"in what steers": [from(object.union(said, {"links": ["bob@example.org"]}), said, unsaid), egress],
	}
	decision := spokegate.decision with input as judged(patches)
	decision.effect == "allow"
}

test_no_untrusted_link_in_a_part_of_what_steers if {
	decision := spokegate.decision with input as judged([
		{
			"/arguments/to": ["bob"],
			"/context/provenance": {"/to/0": object.union(said, {"links": ["x@y.example"]}), "/box": said},
		},
		egress,
	])
	decision.effect == "allow"
}

test_untrusted_link_where_egress_is_not_known if {
	document := testing.without(judged([from(said, said, with_link), egress]), "/resource/function/egress")
	asks := influence.ask with input as document
	codes := {ask.code | some ask in asks}
	codes == {"influence.untrusted_link"}
}

test_untrusted_irreversible[note] if {
	some note, patches in {
		"quoted": [from(quoted, said, unsaid)],
		"nobody's": [from(unsaid, said, unsaid)],
		"without provenance": [{"/context/provenance": {}}],
		"chosen by an unreviewed app": [from(listed, said, unsaid), {"/subject/app/trust": "unreviewed"}],
		"an object": [from(said, said, unsaid), {"/arguments/to": {"a": "b"}}],
	}
	decision := spokegate.decision with input as judged(array.concat(
		[{"/resource/function/effect": "irreversible"}],
		patches,
	))
	decision == testing.denied([untrusted_irreversible])
}

test_no_untrusted_irreversible[note] if {
	some note, provenance in {
		"said": from(said, said, unsaid),
		"there": from(listed, said, unsaid),
		"a leaf": from(leaf, said, unsaid),
		"of a source that the user named": from(of_source([]), said, unsaid),
		"nothing": {"/arguments": {"text": "all of it"}},
	}
	decision := spokegate.decision with input as judged([
		{"/resource/function/effect": "irreversible"},
		provenance,
	])
	decision.effect == "ask"
}

test_untrusted_irreversible_where_the_effect_is_not_known if {
	document := testing.without(judged([from(quoted, said, unsaid)]), "/resource/function/effect")
	denials := influence.deny with input as document
	codes := {denial.code | some denial in denials}
	codes == {"influence.untrusted_irreversible"}
}

untrusted_relay := {
	"code": "influence.untrusted_relay",
	"message": concat("", [
		"reader is influenced by news; archive.find would send out links that the user did not name (in /text), and ",
		"that they go just there (/to, /box) is the word of some text that the user did not name either.",
	]),
	"rule": "spokegate.rules.influence",
}

test_untrusted_relay[note] if {
	some note, patches in {
		"quoted": [from(quoted, said, with_link)],
		"nobody's": [from(unsaid, said, with_link)],
		"chosen by an unreviewed app": [from(listed, said, with_link), {"/subject/app/trust": "unreviewed"}],
	}
	decision := spokegate.decision with input as judged(array.concat([egress], patches))
	decision == testing.denied([untrusted_relay])
}

test_no_untrusted_relay[note] if {
	some note, patches in {
		"to whom the user named": [from(said, said, with_link), egress],
		"to what is there": [from(listed, leaf, with_link), egress],
		"to whom a source names that the user named": [from(of_source([]), said, with_link), egress],
		"to nobody in particular": [from(said, said, with_link), {"/arguments": {"text": "see there"}}, egress],
		"without a link": [from(quoted, said, unsaid), egress],
		"where nothing leaves": [from(quoted, said, with_link)],
	}
	decision := spokegate.decision with input as judged(patches)
	decision.effect == "ask"
}

test_untrusted_relay_where_egress_is_not_known if {
	document := testing.without(judged([from(quoted, said, with_link), egress]), "/resource/function/egress")
	denials := influence.deny with input as document
	codes := {denial.code | some denial in denials}
	codes == {"influence.untrusted_relay"}
}

# ---- where confidential data may go

test_confidential_data_goes_where_the_user_says if {
	decision := spokegate.decision with input as judged([from(said, said, unsaid), confidential, egress])
	decision.effect == "allow"
	["influence.user_named_control"] == [reason.code | some reason in decision.reasons]
}

test_confidential_data_may_be_asked_about[note] if {
	some note, patches in {
		"to what is there": [from(listed, said, unsaid)],
		"to what is a leaf": [from(leaf, said, unsaid)],
		"of how much": [from(said, unsaid, unsaid), {"/arguments/box": 7}],
		"of which": [from(said, said, unsaid), {
			"/arguments/box": [7, "box 8"],
			"/context/provenance/~1box~10": unsaid,
			"/context/provenance/~1box~11": said,
		}],
		"to nobody in particular": [{"/arguments": {"to": null, "box": [], "text": "hello"}}],
		"to where its own source says": [from(of_source(["health"]), said, unsaid)],
		"as a quotation and nothing else": [from(quoted, said, unsaid), {"/arguments": {"to": "bob", "box": "box 7"}}],
	}
	decision := spokegate.decision with input as judged(array.concat([confidential, egress], patches))
	decision.effect == "ask"
}

test_confidential_egress_of_a_reviewed_app[note] if {
	some note, patches in {
		"to where some text says": [from(quoted, said, unsaid)],
		"to where the source of other data says": [from(of_source(["contact"]), said, unsaid)],
		"of which, and one that nobody says": [from(said, said, unsaid), {
			"/arguments/box": [7, "box 8"],
			"/context/provenance/~1box~10": unsaid,
			"/context/provenance/~1box~11": unsaid,
		}],
		"to where nobody says, alone": [from(unsaid, said, unsaid), {"/arguments": {"to": "bob", "box": "box 7"}}],
		"to an object": [from(said, said, unsaid), {"/arguments/to": {"a": "b"}}],
		"without control arguments": [from(said, said, said), {"/resource/function/control_arguments": []}],
	}
	decision := spokegate.decision with input as judged(array.concat([confidential, egress], patches))
	decision == testing.denied([confidential_egress])
}
