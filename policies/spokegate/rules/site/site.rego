# METADATA
# title: Site
# description: >-
#   Takes in what the site's own package, `data.site`, contributes. It is absent by default. What it contributes in
#   another shape than the README of the site's folder says would be lost without a word, so it denies instead.
package spokegate.rules.site

import data.spokegate.lib.reasons
import data.spokegate.settings

parts := {"deny", "ask", "allow", "obligations", "review_result"}

# METADATA
# title: Malformed site package
# description: The site package contributes to {part} something of another shape than it must have.
# custom:
#   code: site.malformed
deny contains reason if {
	some part in parts
	given := data.site[part]
	not sound(part, given)
	reason := reasons.of(rego.metadata.chain(), {"part": part})
}

# METADATA
# title: Relabelling that is not named
# description: >-
#   The site package takes labels off the result of {function}, which is looser than any rule, and its settings do not
#   name results.relabel in loosen.
# custom:
#   code: site.unnamed_relabelling
deny contains reason if {
	not settings.relabelling_named
	some given in data.site.obligations
	given.type == "relabel"
	sound_obligation(given)
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Denied by the site
# description: Every deny of the site package.
# custom:
#   code: site.deny
deny contains reason if {
	some given in data.site.deny
	reason := as_reason(given)
}

# METADATA
# title: Asked by the site
# description: Every ask of the site package.
# custom:
#   code: site.ask
ask contains reason if {
	some given in data.site.ask
	reason := as_reason(given)
}

# METADATA
# title: Allowed by the site
# description: Every allow of the site package. It decides what no rule decides, and nothing else.
# custom:
#   code: site.allow
allow contains reason if {
	some given in data.site.allow
	reason := as_reason(given)
}

# METADATA
# title: Obligations of the site
# description: Every obligation of the site package, on top of the others.
# custom:
#   code: site.obligations
obligations contains given if {
	some given in data.site.obligations
	sound_obligation(given)
	named(given)
}

# METADATA
# title: Results that the site wants reviewed
# scope: document
default review_result := false

review_result if data.site.review_result == true

named(given) if given.type != "relabel"

named(_) if settings.relabelling_named

as_reason(given) := {
	"code": given.code,
	"message": given.message,
	"rule": "site",
	"hidden": object.get(given, "hidden", false),
} if {
	sound_reason(given)
}

sound("review_result", value) if is_boolean(value)

sound("obligations", value) if {
	collection(value)
	every given in value {
		sound_obligation(given)
	}
}

sound(part, value) if {
	part in {"deny", "ask", "allow"}
	collection(value)
	every given in value {
		sound_reason(given)
	}
}

collection(value) if is_set(value)

collection(value) if is_array(value)

# A site's codes all begin alike, so that none can pass for a code of the rules that come with the hub.
sound_reason(given) if {
	startswith(given.code, "site.")
	is_string(given.message)
	is_boolean(object.get(given, "hidden", false))
}

sound_obligation({"type": type, "on": on, "pointer": pointer}) if {
	type in {"redact", "drop"}
	on in {"arguments", "result"}
	startswith(pointer, "/")
}

sound_obligation({"type": "max_result_bytes", "on": "result", "value": value}) if {
	value >= 0
	floor(value) == value
}

sound_obligation({"type": "replace", "on": on, "pointer": pointer, "replacement": replacement}) if {
	on in {"arguments", "result"}
	startswith(pointer, "/")
	not is_object(replacement)
	not is_array(replacement)
}

sound_obligation({"type": "relabel", "on": "result", "confidentiality": confidentiality, "integrity": integrity}) if {
	labels := array.concat(confidentiality, integrity)
	count(labels) > 0
	every label in labels {
		is_string(label)
	}
}

sound_obligation({"type": "notify", "on": "arguments", "message": message}) if {
	count(message) > 0
	count(message) <= 500
}
