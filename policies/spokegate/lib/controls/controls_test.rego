package spokegate.lib.controls_test

import data.spokegate.lib.controls

user := {"user": true, "from": []}

other := {"user": false, "from": ["news.read"]}

request(control_arguments, arguments, provenance) := {
	"resource": {"function": {"control_arguments": control_arguments}},
	"arguments": arguments,
	"context": {"provenance": provenance},
}

test_all_from_user[note] if {
	some note, document in {
		"text": request(["/to"], {"to": "bob"}, {"/to": user}),
		"number": request(["/to"], {"to": 13}, {"/to": user}),
		"list": request(["/to"], {"to": ["bob", 13]}, {"/to/0": user, "/to/1": user}),
		"deep": request(["/a/0/b~1c"], {"a": [{"b/c": "bob"}]}, {"/a/0/b~1c": user}),
		"an optional one is absent": request(["/to", "/cc"], {"to": "bob"}, {"/to": user}),
		"two": request(["/to", "/cc"], {"to": "bob", "cc": "eve"}, {"/to": user, "/cc": user}),
		"null says nothing": request(["/to", "/cc"], {"to": "bob", "cc": null}, {"/to": user, "/cc": other}),
		"nor does an empty list": request(["/to", "/cc"], {"to": "bob", "cc": []}, {"/to": user, "/cc": other}),
	}
	controls.all_from_user with input as document
}

test_not_all_from_user[note] if {
	some note, document in {
		"another's": request(["/to"], {"to": "bob"}, {"/to": other}),
		"no provenance": request(["/to"], {"to": "bob"}, {}),
		"provenance of another argument": request(["/to"], {"to": "bob"}, {"/cc": user}),
		"one of two": request(["/to", "/cc"], {"to": "bob", "cc": "eve"}, {"/to": user, "/cc": other}),
		"one item of two": request(["/to"], {"to": ["bob", "eve"]}, {"/to": user, "/to/0": user, "/to/1": other}),
		"the list but no item": request(["/to"], {"to": ["bob"]}, {"/to": user}),
		"a list in the list": request(["/to"], {"to": [["bob"]]}, {"/to": user, "/to/0": user, "/to/0/0": user}),
		"an empty list": request(["/to"], {"to": []}, {"/to": user}),
		"an empty list in the list": request(["/to"], {"to": [[]]}, {"/to": user, "/to/0": user}),
		"an object": request(["/to"], {"to": {"eve": "bob"}}, {"/to": user, "/to/eve": user}),
		"an empty object": request(["/to"], {"to": {}}, {"/to": user}),
		"an object in the list": request(["/to"], {"to": [{"eve": 1}]}, {"/to": user, "/to/0": user}),
		"all of the arguments": request([""], {"to": "bob"}, {"": user, "/to": user}),
		"true": request(["/to"], {"to": true}, {"/to": user}),
		"null": request(["/to"], {"to": null}, {"/to": user}),
		"none is declared": request([], {"to": "bob"}, {"/to": user}),
		"none is present": request(["/cc"], {"to": "bob"}, {"/to": user, "/cc": user}),
		"nothing": {},
	}
	not controls.all_from_user with input as document
}

test_complete[note] if {
	some note, document in {
		"none is declared": request([], {}, {}),
		"present": request(["/to"], {"to": "bob"}, {}),
		"false is a value": request(["/to"], {"to": false}, {}),
		"null is a value": request(["/to"], {"to": null}, {}),
	}
	controls.complete with input as document
}

test_not_complete[note] if {
	some note, document in {
		"absent": request(["/to"], {}, {}),
		"one of two": request(["/to", "/cc"], {"to": "bob"}, {}),
		"nothing": {},
	}
	not controls.complete with input as document
}

listed := {"user": false, "from": ["mail.search"], "identifier_of": ["mail.search"]}

test_all_known[note] if {
	some note, document in {
		"said": request(["/to"], {"to": "bob"}, {"/to": user}),
		"there": request(["/to"], {"to": "bob"}, {"/to": listed}),
		"one and one": request(["/to"], {"to": ["bob", "eve"]}, {"/to/0": user, "/to/1": listed}),
	}
	controls.all_known with input as document
}

test_not_all_known[note] if {
	some note, document in {
		"merely returned": request(["/to"], {"to": "bob"}, {"/to": other}),
		"there to nobody": request(["/to"], {"to": "bob"}, {"/to": object.union(other, {"identifier_of": []})}),
		"one of two": request(["/to", "/cc"], {"to": "bob", "cc": "eve"}, {"/to": listed, "/cc": other}),
		"an object": request(["/to"], {"to": {"a": "bob"}}, {"/to": listed, "/to/a": listed}),
		"none is declared": request([], {"to": "bob"}, {"/to": listed}),
		"nothing": {},
	}
	not controls.all_known with input as document
}

test_of_a_named_source if {
	controls.of_named_source("/to") with input as request([], {}, {"/to": object.union(other, {"named_source": {
		"confidentiality": [],
		"integrity": ["news"],
	}})})
}

test_of_no_named_source[note] if {
	some note, provenance in {
		"of another": {"/to": other},
		"words": {"/to": object.union(other, {"named_source": "yes"})},
		"nothing": {},
	}
	not controls.of_named_source("/to") with input as request([], {}, provenance)
}

test_leaf if {
	controls.leaf("/to") with input as request([], {}, {"/to": object.union(other, {"leaf_of": ["mail.search"]})})
}

test_no_leaf[note] if {
	some note, provenance in {"mentioned": {"/to": other}, "nothing": {}}
	not controls.leaf("/to") with input as request([], {}, provenance)
}

test_quoted if controls.quoted("/to") with input as request([], {}, {"/to": other})

test_not_quoted[note] if {
	some note, provenance in {"said": {"/to": user}, "nothing": {}}
	not controls.quoted("/to") with input as request([], {}, provenance)
}
