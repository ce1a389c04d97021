# METADATA
# description: A rule that contributes to the decision says what it is, and is counted
# schemas:
#   - input: schema.regal.ast
package custom.regal.rules.spokegate.votes

import data.regal.result

votes := {"deny", "ask", "allow", "obligations"}

# METADATA
# description: What every reason is built from must be there
report contains violation if {
	some rule in contributing
	some lack in lacks(rule)
	violation := fail(rego.metadata.chain(), result.location(rule.head), lack)
}

# METADATA
# description: The codes, and the topics that have a vote or are counted, of one file
aggregate contains result.aggregate(rego.metadata.chain(), {
	"codes": codes,
	"contributed": contributed,
	"counted": counted,
	"counts": counts,
})

# METADATA
# description: A code is one rule's
# schemas:
#   - input: schema.regal.aggregate
aggregate_report contains violation if {
	owners := {code: locations |
		some entry in input.aggregate
		some code, _ in entry.aggregate_data.codes
		locations := {{"file": other.aggregate_source.file, "row": place.row, "col": place.col, "text": place.text} |
			some other in input.aggregate
			some place in other.aggregate_data.codes[code]
		}
	}
	some code, locations in owners
	count(locations) > 1
	some location in locations
	violation := fail(rego.metadata.chain(), {"location": location}, sprintf("code %s is another rule's too", [code]))
}

# METADATA
# description: A topic's rules are all counted in the decision, if the file that counts is linted with them
# schemas:
#   - input: schema.regal.aggregate
aggregate_report contains violation if {
	some decision in input.aggregate
	decision.aggregate_data.counts

	some entry in input.aggregate
	some name, places in entry.aggregate_data.contributed
	not name in {counted | some counted in decision.aggregate_data.counted}

	some place in places
	location := object.union(place, {"file": entry.aggregate_source.file})
	violation := fail(rego.metadata.chain(), {"location": location}, sprintf("%s is not counted", [name]))
}

fail(chain, location, what) := result.fail(chain, object.union(location, {"description": what}))

package_path := [part.value | some part in input["package"].path]

default topic := ""

topic := package_path[3] if {
	count(package_path) == 4
	array.slice(package_path, 0, 3) == ["data", "spokegate", "rules"]
}

topic := "site" if package_path[1] == "site"

contributing := [rule |
	topic != ""
	some rule in input.rules
	rule.head.ref[0].value in votes
]

annotations(rule) := object.get(rule, ["annotations", 0], {})

lacks(rule) := lacking_text(rule) | lacking_code(rule)

lacking_text(rule) := {sprintf("no %s in the METADATA of this rule", [key]) |
	some key in ["title", "description"]
	object.get(annotations(rule), key, "") == ""
}

lacking_code(rule) := {sprintf("no custom.code in the METADATA of this rule that begins with %s", [prefix]) |
	prefix := sprintf("%s.", [topic])
	not startswith(object.get(annotations(rule), ["custom", "code"], ""), prefix)
}

codes[code] contains place(rule) if {
	some rule in input.rules
	code := rule.annotations[_].custom.code
}

place(rule) := object.remove(result.location(rule.head).location, {"file"})

contributed[name] contains place(rule) if {
	topic != ""
	package_path[1] == "spokegate"
	some rule in contributing
	name := sprintf("%s.%s", [topic, rule.head.ref[0].value])
}

default counts := false

counts if {
	package_path == ["data", "spokegate"]
	"decision" in {rule.head.ref[0].value | some rule in input.rules}
}

counted contains sprintf("%s.%s", [node.value[0].value, node.value[1].value]) if {
	counts
	walk(input.rules, [_, node])
	node.type == "ref"
	node.value[1].value in votes
}
