# METADATA
# title: Builders
# description: Access requests and decisions for the tests, with sane defaults. The file's name keeps it out of bundles.
package spokegate.testing

# METADATA
# title: Access request of a spoke
# description: The app "reader" asks the app "archive" for a read that its manifest declares.
by_spoke := {
	"version": 1,
	"subject": {"type": "spoke", "id": "reader", "user": "alice", "roles": [], "app": reader},
	"action": {"name": "invoke"},
	"resource": {"type": "function", "id": "archive.find", "app": archive, "function": find},
	"arguments": {},
	"context": {
		"session": "s1",
		"time": "2026-01-02T03:04:05Z",
		"planned": false,
		"chain": ["user", "reader"],
		"hop": 1,
		"labels": {"confidentiality": [], "integrity": []},
		"provenance": {},
		"arguments_digest": "sha256:a",
		"counts": {
			"session": 1,
			"function": 1,
			"session_minute": 1,
			"function_minute": 1,
			"prompts": 0,
			"approved": 0,
			"declined": 0,
		},
	},
	"grants": [],
}

# METADATA
# title: Access request of the user
# description: The same, asked by the user.
by_user := patched(by_spoke, {
	"/subject": {"type": "user", "id": "user", "user": "alice", "roles": []},
	"/context/chain": ["user"],
	"/context/hop": 0,
})

reader := {
	"name": "reader",
	"trust": "unreviewed",
	"clearance": [],
	"digest": "sha256:r",
	"asks": ["archive.find"],
	"egress": [],
}

archive := {"name": "archive", "trust": "reviewed", "clearance": [], "digest": "sha256:f", "asks": [], "egress": []}

find := {
	"name": "find",
	"effect": "read",
	"egress": false,
	"control_arguments": [],
	"labels": {"confidentiality": [], "integrity": []},
}

# METADATA
# title: Access request to connect
# description: The app "reader", which is reviewed here, wants to connect to the host that its manifest declares.
to_connect := patched(by_spoke, {
	"/action/name": "connect",
	"/subject/app/trust": "reviewed",
	"/subject/app/egress": ["api.example.org:443"],
	"/resource": {"type": "host", "id": "api.example.org:443", "host": {
		"name": "api.example.org",
		"port": 443,
		"scheme": "connect",
		"origin": "untrusted:api.example.org:443",
	}},
	"/arguments": {"method": "CONNECT"},
})

# METADATA
# title: Access request to generate
# description: The app "reader", whose manifest declares that it asks the model, wants an answer of it.
to_generate := patched(by_spoke, {
	"/action/name": "generate",
	"/subject/app/asks_model": true,
	"/resource": {"type": "model", "id": "model/small", "model": {"name": "small", "clearance": ["contact"]}},
	"/arguments": {"model": "small", "messages": 2, "characters": 400, "tools": [], "max_completion_tokens": 100},
	"/context/counts/session_tokens": 200,
	"/context/counts/app_tokens": 200,
	"/context/counts/user_tokens": 200,
})

# METADATA
# title: Access request of the planner
# description: The hub's planner wants an answer of the model.
by_planner := patched(to_generate, {
	"/subject": {"type": "planner", "id": "planner", "user": "alice", "roles": []},
	"/context/chain": ["planner"],
	"/context/hop": 0,
})

# METADATA
# title: Access request to recall
# description: The app "reader", whose manifest declares that it remembers the user, wants to read its own memory.
to_recall := patched(by_spoke, {
	"/action/name": "recall",
	"/subject/app/remembers": true,
	"/resource": {"type": "memory", "id": "memory/reader", "memory": {
		"app": "reader",
		"labels": {"confidentiality": [], "integrity": []},
	}},
	"/arguments": {"key": "city"},
})

# METADATA
# title: Access request to share
# description: >-
#   The app "reader", which is reviewed and cleared here, is to be told the attribute of the user that its manifest
#   wants.
to_share := patched(by_spoke, {
	"/action/name": "share",
	"/subject/app/user_data": ["find.email"],
	"/subject/app/trust": "reviewed",
	"/subject/app/clearance": ["contact"],
	"/resource": {"type": "user_data", "id": "user_data/email", "user_data": {
		"name": "email",
		"function": "find",
		"confidentiality": ["contact"],
	}},
	"/arguments": {"value": "alice@example.org", "function": "reader.find", "why": "To send the receipt."},
})

# METADATA
# title: Own function
# description: The patch that makes the asking app the serving app.
own := {"/subject/id": "archive", "/subject/app": archive}

# METADATA
# title: Write
# description: The patch that makes the function a write with one control argument, in the user's own words.
write := {
	"/resource/function/effect": "write",
	"/resource/function/control_arguments": ["/to"],
	"/arguments": {"to": "bob", "text": "hello"},
	"/context/provenance": {"/to": {"user": true, "from": []}, "/text": {"user": false, "from": []}},
}

# METADATA
# title: Irreversible
# description: The same write, but it cannot be undone.
irreversible := object.union(write, {"/resource/function/effect": "irreversible"})

# METADATA
# title: Foreign control argument
# description: The patch that makes the control argument of the write another's words.
foreign := {"/context/provenance": {"/to": {"user": false, "from": ["news.read"]}}}

# METADATA
# title: Influenced
# description: The patch by which an untrusted origin has influenced the asker.
influenced := {"/context/labels/integrity": ["news"]}

# METADATA
# title: Patched document
# description: The document with the value at each pointer added or replaced.
patched(document, values) := json.patch(document, [{"op": "add", "path": pointer, "value": value} |
	some pointer, value in values
])

# METADATA
# title: Document patched in turn
# description: By one patch after the other, so that a later one wins.
patched_in_turn(document, patches) := json.patch(document, [{"op": "add", "path": pointer, "value": value} |
	some patch in patches
	some pointer, value in patch
])

# METADATA
# title: Document without a part
# description: The document without what the pointer points at.
without(document, pointer) := json.patch(document, [{"op": "remove", "path": pointer}])

# METADATA
# title: Denied
denied(reasons) := {
	"effect": "deny",
	"decided_by": "rule",
	"grant": null,
	"hidden": false,
	"reasons": reasons,
	"obligations": [],
	"prompt": null,
	"review_result": false,
	"shadow": null,
}

# METADATA
# title: Denied as if the function did not exist
hidden(reasons) := object.union(denied(reasons), {"hidden": true})

# METADATA
# title: Allowed to the user
allowed(reasons) := object.union(denied(reasons), {"effect": "allow"})

# METADATA
# title: Allowed to a spoke
# description: With the cap on the result.
delivered(reasons) := object.union(allowed(reasons), {"obligations": [max_result_bytes]})

max_result_bytes := {"type": "max_result_bytes", "on": "result", "value": 131072}

# METADATA
# title: Allowed to a spoke by a grant
granted(reasons, grant) := object.union(delivered(reasons), {"decided_by": "grant", "grant": grant})

# METADATA
# title: Scopes longer than once
# description: On offer for what can be undone, where something untrusted has influenced the asker.
longer := ["once", "session", "until"]

# METADATA
# title: All scopes
# description: On offer for what can be undone, where nothing untrusted has influenced the asker.
for_good := ["once", "session", "until", "always"]

# METADATA
# title: Asked by a rule
asked(reasons, scopes) := object.union(denied(reasons), {
	"effect": "ask",
	"prompt": {
		"title": "Let reader use archive.find?",
		"detail": concat(" ", [reason.message | some reason in reasons]),
		"scopes": scopes,
		"until_seconds": 28800,
	},
})

# METADATA
# title: Asked because no rule decides
undecided(scopes) := object.union(asked([undecided_reason], scopes), {"decided_by": "default"})

undecided_reason := {
	"code": "decision.undecided",
	"message": "No rule decides whether reader may use archive.find.",
	"rule": "spokegate",
}

declared_read := {
	"code": "requests.declared_read",
	"message": "The manifest of reader declares that it asks for archive.find, which only reads.",
	"rule": "spokegate.rules.requests",
}

directed_write := {
	"code": "requests.user_directed_write",
	"message": concat("", [
		"The user's own words say what archive.find is to act on, ",
		"and nothing untrusted has influenced reader.",
	]),
	"rule": "spokegate.rules.requests",
}

user_call := {
	"code": "direct.user_call",
	"message": "The user calls archive.find directly, and what it does can be undone.",
	"rule": "spokegate.rules.direct",
}

always_asked := {
	"code": "irreversible.always_asked",
	"message": "What archive.find does cannot be undone.",
	"rule": "spokegate.rules.irreversible",
}

untrusted_control := {
	"code": "influence.untrusted_control",
	"message": concat("", [
		"reader is influenced by news, ",
		"and what steers archive.find (/to) is not in the user's own words.",
	]),
	"rule": "spokegate.rules.influence",
}

reviewed := {
	"code": "results.reviewed",
	"message": "The result of archive.find may be delivered to reader.",
	"rule": "spokegate.rules.results",
}
