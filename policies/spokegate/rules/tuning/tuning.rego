# METADATA
# title: Tuning
# description: Settings of the site that cannot be followed deny, rather than being lost without a word.
package spokegate.rules.tuning

import data.spokegate.lib.reasons
import data.spokegate.settings

# METADATA
# title: Unsound settings
# description: "The settings of the site cannot be followed: {problems}."
# custom:
#   code: tuning.unsound_settings
deny contains reason if {
	data.site.settings
	count(settings.problems) > 0
	reason := reasons.of(rego.metadata.chain(), {"problems": settings.problems})
}
