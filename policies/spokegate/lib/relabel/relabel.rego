# METADATA
# title: Relabelled
# description: >-
#   The labels that obligations take off the result of the function that is asked for. An obligation of a package in
#   log-only mode takes off nothing, for nobody meets it.
package spokegate.lib.relabel

import data.spokegate.rules.obligations
import data.spokegate.rules.site
import data.spokegate.settings

# METADATA
# title: Confidentiality taken off
confidentiality contains label if {
	some given in met
	given.type == "relabel"
	some label in object.get(given, "confidentiality", [])
}

met contains given if {
	not "obligations" in settings.log_only
	some given in obligations.obligations
}

met contains given if {
	not "site" in settings.log_only
	some given in site.obligations
}
