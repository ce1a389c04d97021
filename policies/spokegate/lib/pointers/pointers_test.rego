package spokegate.lib.pointers_test

import data.spokegate.lib.pointers

document := {
	"a": [1, {"b": 2}],
	"x/y": 3,
	"m~n": 4,
	"~1": 5,
	"0": 6,
	"": {"": 7},
	"false": false,
	"null": null,
}

test_at[pointer] if {
	some pointer, value in {
		"": document,
		"/a": [1, {"b": 2}],
		"/a/0": 1,
		"/a/1/b": 2,
		"/x~1y": 3,
		"/m~0n": 4,
		"/~01": 5,
		"/0": 6,
		"/": {"": 7},
		"//": 7,
		"/false": false,
		"/null": null,
	}
	pointers.at(document, pointer) == value
}

nowhere := {
	"a", "0", "/b", "/a/2", "/a/-1", "/a/-", "/a/01", "/a/b", "/a/0/b", "/a/1/c",
	"/x/y", "/~1", "/ a", "/null/a", "/false/0", "-copy",
}

test_at_nothing[pointer] if {
	some pointer in nowhere
	found := [value | value := pointers.at(document, pointer)]
	found == []
}
