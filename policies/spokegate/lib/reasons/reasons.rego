# METADATA
# title: Reasons
# description: >-
#   Builds the reason that a rule contributes from the rule's own METADATA, so that code, sentence and rule are said
#   once. Every part has a fallback: a reason that came out undefined would take its deny with it.
package spokegate.lib.reasons

import data.spokegate.lib.request

# METADATA
# title: Reason of a rule
# description: >-
#   `chain` is `rego.metadata.chain()` as called in the rule itself. The message is the description of the rule, in
#   which `{name}` stands for the fact of that name; the names of caller, function and app are always known.
of(chain, facts) := {
	"code": object.get(rule, ["annotations", "custom", "code"], "reasons.unnamed"),
	"message": filled(object.get(rule, ["annotations", "description"], "A rule without a description."), facts),
	"rule": concat(".", array.slice(path, 0, count(path) - 1)),
	"hidden": object.get(rule, ["annotations", "custom", "hidden"], false),
} if {
	rule := object.get({"chain": chain}, ["chain", 0], {})
	path := object.get(rule, "path", [])
}

# METADATA
# title: Filled text
# description: The text with every `{name}` replaced, in one pass, so that a fact cannot bring in another.
filled(text, facts) := strings.replace_n(object.union(names, placeholders(facts)), text)

names := {"{caller}": request.caller, "{function}": request.function, "{app}": request.app}

placeholders(facts) := {placeholder: words(fact) |
	some name, fact in facts
	placeholder := concat("", ["{", name, "}"])
}

# METADATA
# title: Fact in words
# scope: document
# description: A string as it is, several with commas between them.
words(fact) := fact if is_string(fact)

words(fact) := concat(", ", [word | some item in fact; word := sprintf("%v", [item])]) if not is_string(fact)
