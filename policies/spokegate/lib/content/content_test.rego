package spokegate.lib.content_test

import data.spokegate.lib.content

said := {"user": true, "from": []}

unsaid := {"user": false, "from": []}

request(arguments, provenance) := {
	"resource": {"function": {"control_arguments": ["/to", "/a~1b"]}},
	"arguments": arguments,
	"context": {"provenance": provenance},
}

test_what_does_not_steer_is_content if {
	found := content.arguments with input as request({"to": "bob", "a/b": 1, "text": "hello", "c~d": [2]}, {})
	found == {"/text": "hello", "/c~0d": [2]}
}

test_all_is_content_where_nothing_is_known_to_steer if {
	found := content.arguments with input as {"arguments": {"to": "bob"}}
	found == {"/to": "bob"}
}

test_dictated[note] if {
	some note, document in {
		"a text": request({"to": "bob", "text": "we meet at noon"}, {"/text": said}),
		"the most of one": request({"text": "we meet at two"}, {"/text": object.union(unsaid, {"user_share": 0.8})}),
		"a text and a word": request(
			{"text": "we meet at noon", "title": "noon", "count": 4},
			{"/text": said, "/title": said, "/count": said},
		),
	}
	content.dictated with input as document
}

test_not_dictated[note] if {
	some note, document in {
		"nothing": {},
		"no content": request({"to": "we meet at noon"}, {"/to": said}),
		"another's": request({"text": "we meet at noon"}, {"/text": unsaid}),
		"no provenance": request({"text": "we meet at noon"}, {}),
		"a few words": request({"text": "at noon"}, {"/text": said}),
		"a little of a text": request({"text": "we meet at two"}, {"/text": object.union(unsaid, {"user_share": 0.79})}),
		"a share that is none": request({"text": "we meet"}, {"/text": object.union(unsaid, {"user_share": "0.9"})}),
		"a number": request({"text": 7}, {"/text": object.union(unsaid, {"user_share": 1})}),
		"another's word beside it": request(
			{"text": "we meet at noon", "title": "gold"},
			{"/text": said, "/title": unsaid},
		),
		"true beside it": request({"text": "we meet at noon", "urgent": true}, {"/text": said, "/urgent": said}),
		"a list beside it": request({"text": "we meet at noon", "more": ["a"]}, {"/text": said, "/more": said}),
	}
	not content.dictated with input as document
}

test_foreign_links if {
	foreign := object.union(unsaid, {"links": ["www.evil.example"]})
	found := content.foreign_links with input as request({}, {
		"/text": foreign,
		"/text/0": unsaid,
		"/more/1": foreign,
		"/too": foreign,
		"/to": foreign,
		"/to/0": foreign,
		"/a~1b/x": foreign,
		"/none": object.union(unsaid, {"links": []}),
	})
	found == {"/text", "/more/1", "/too"}
}
