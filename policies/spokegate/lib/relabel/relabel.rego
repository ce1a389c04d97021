# METADATA
# title: Relabelled
# description: The labels that obligations take off the result of the function that is asked for.
package spokegate.lib.relabel

import data.spokegate.rules.obligations
import data.spokegate.rules.site

# METADATA
# title: Confidentiality taken off
confidentiality contains label if {
	some given in (obligations.obligations | site.obligations)
	given.type == "relabel"
	some label in given.confidentiality
}
