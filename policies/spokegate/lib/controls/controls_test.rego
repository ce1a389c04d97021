package spokegate.lib.controls_test

import data.spokegate.lib.controls

user := {"user": true, "from": []}

other := {"user": false, "from": ["web.read"]}

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
