# METADATA
# title: Obligations
# description: What the hub must do to what it delivers.
package spokegate.rules.obligations

import data.spokegate.lib.request
import data.spokegate.settings

# METADATA
# title: Largest result
# description: A spoke receives no result beyond the size in the settings.
# custom:
#   code: obligations.max_result_bytes
obligations contains {"type": "max_result_bytes", "on": "result", "value": settings.max_result_bytes} if {
	request.by_spoke
	input.action.name in {"invoke", "return"}
}

# METADATA
# title: Redacted results
# description: What the settings name of a function's result is hidden from other apps.
# custom:
#   code: obligations.redact_results
obligations contains {"type": "redact", "on": "result", "pointer": pointer} if {
	request.by_spoke
	not request.within_app
	input.action.name in {"invoke", "return"}
	some pointer in object.get(settings.redact_results, input.resource.id, [])
}

# METADATA
# title: Relabelled results
# description: What the settings take off the labels of a function's result.
# custom:
#   code: obligations.relabel_results
obligations contains {
	"type": "relabel",
	"on": "result",
	"confidentiality": object.get(labels, "confidentiality", []),
	"integrity": object.get(labels, "integrity", []),
} if {
	input.action.name in {"invoke", "return"}
	labels := settings.relabel_results[input.resource.id]
}
