# METADATA
# title: Settings
# description: >-
#   The numbers and tables that the rules go by: the defaults, and what the site sets in `data.site.settings`. A site
#   may make any limit stricter; to make one looser it has to name it in `loosen`. Every limit is a most that is
#   permitted.
package spokegate.settings

# METADATA
# title: Defaults
# description: >-
#   The limits by group and name. Hops: how many spokes a chain of calls may pass. Calls: how many a session may make,
#   of all functions and of one; and within a minute. Bytes: of canonical JSON that a spoke may receive as one result.
#   Tokens: of the model, how many a session may use, each of its apps, and a user on one day (UTC), with the most that
#   requests under way may use. Prompts: how many apps may have shown to a person in a session, and for how many seconds
#   a yes until a time may hold.
defaults := {
	"budgets": {
		"max_hops": 8,
		"max_session_calls": 1000,
		"max_function_calls": 500,
	},
	"rate": {
		"max_session_calls_per_minute": 600,
		"max_function_calls_per_minute": 240,
	},
	"results": {"max_bytes": 131072},
	"models": {
		"max_session_tokens": 2000000,
		"max_app_tokens": 1000000,
		"max_user_tokens": 5000000,
	},
	"prompts": {
		"max_session_prompts": 20,
		"max_until_seconds": 28800,
	},
}

# METADATA
# title: Limits
# scope: document
# description: The limits in force, by group and name.
limits := defaults if count(given) == 0

limits := adjusted if count(given) > 0

adjusted[group] := in_force if {
	some group, members in defaults
	in_force := with_given(group, members)
}

with_given(group, members) := object.union(members, {name: value |
	some name, value in object.get(given, group, {})
	permitted(group, name, value)
})

# METADATA
# title: Redacted results
# description: >-
#   What no other app is to see of a function's result: RFC 6901 pointers by the function's full name, from
#   `results.redact` of the site. None by default.
redact_results[function] contains pointer if {
	some function, pointers in given.results.redact
	some pointer in pointers
	startswith(pointer, "/")
}

# METADATA
# title: Relabelled results
# description: >-
#   Labels that the result of a function does not carry, whatever its app knows, because the function takes out what
#   they stand for: lists by kind, by the function's full name, from `results.relabel` of the site. None by default. The
#   only way for labels to become fewer, so a site has to name `results.relabel` in `loosen`, and only functions whose
#   code the owner has read belong there.
relabel_results[function] := labels if {
	relabelling_named
	sound_labels(given.results.relabel)
	some function, labels in given.results.relabel
}

# METADATA
# title: Relabelling is named
# description: Whether the site says by name that it takes labels off, in its settings or by obligations of its own.
relabelling_named if relabelling in given.loosen

# METADATA
# title: Packages that a mode can be set for
# description: >-
#   Every package that has a vote, but two. Without `registry` the others could not take the access request as it is,
#   and without `tuning` broken settings would pass for none.
switchable := {
	"budgets",
	"direct",
	"discovery",
	"egress",
	"flows",
	"influence",
	"irreversible",
	"memory",
	"models",
	"obligations",
	"plan",
	"rate",
	"requests",
	"results",
	"sharing",
	"site",
}

# METADATA
# title: Packages in log-only mode
# description: >-
#   By `modes` of the site: what they contribute is on record and has no effect. Any other mode, and any other word,
#   enforces.
log_only contains name if {
	some name, "log-only" in given.modes
	name in switchable
}

# METADATA
# title: Problems
# scope: document
# description: What is wrong with the site's settings, in words. The hub takes no policies of which there is any.
problems contains "settings: not an object" if {
	settings := data.site.settings
	not is_object(settings)
}

problems contains problem if {
	some group, _ in given
	not group in known_groups
	problem := sprintf("%s: no such setting; there are %s", [group, listed(known_groups)])
}

problems contains problem if {
	some group in (object.keys(defaults) | {"modes"})
	members := given[group]
	not is_object(members)
	problem := sprintf("%s: not an object", [group])
}

problems contains problem if {
	some group, known in defaults
	names := object.keys(known) | object.get(tables, group, set())
	some name, _ in given[group]
	not name in names
	problem := sprintf("%s.%s: no such setting; there are %s", [group, name, listed(names)])
}

problems contains problem if {
	some group, known in defaults
	some name, value in given[group]
	name in object.keys(known)
	not whole(value)
	problem := sprintf("%s.%s: not a whole number from 0", [group, name])
}

problems contains problem if {
	some group, known in defaults
	some name, value in given[group]
	whole(value)
	not permitted(group, name, value)
	problem := sprintf(
		"%s.%s: %v is looser than %v: lower it, or name it in loosen",
		[group, name, value, known[name]],
	)
}

problems contains "results.redact: not lists of pointers by function" if {
	table := given.results.redact
	not sound_table(table)
}

problems contains "results.relabel: not lists of labels by kind, confidentiality or integrity, by function" if {
	table := given.results.relabel
	not sound_labels(table)
}

problems contains "results.relabel: labels taken off are looser: name it in loosen" if {
	sound_labels(given.results.relabel)
	count(given.results.relabel) > 0
	not relabelling_named
}

problems contains "loosen: not a list" if {
	names := given.loosen
	not is_array(names)
}

problems contains problem if {
	some name in given.loosen
	not name in loosenable
	problem := sprintf("loosen: %v: nothing of this name can be loosened; there are %s", [name, listed(loosenable)])
}

problems contains problem if {
	some name, _ in given.modes
	not name in switchable
	problem := sprintf("modes.%s: no mode can be set for it; there are %s", [name, listed(switchable)])
}

problems contains problem if {
	some name, mode in given.modes
	not mode in {"enforce", "log-only"}
	problem := sprintf("modes.%s: neither enforce nor log-only", [name])
}

default given := {}

given := data.site.settings if is_object(data.site.settings)

tables := {"results": {"redact", "relabel"}}

relabelling := "results.relabel"

known_groups := object.keys(defaults) | {"loosen", "modes"}

loosenable contains relabelling

loosenable contains sprintf("%s.%s", [group, name]) if {
	some group, members in defaults
	some name, _ in members
}

# Only numbers are compared: OPA orders values of different types too.
permitted(group, name, value) if {
	whole(value)
	value <= defaults[group][name]
}

permitted(group, name, value) if {
	whole(value)
	name in object.keys(defaults[group])
	sprintf("%s.%s", [group, name]) in given.loosen
}

whole(value) if {
	is_number(value)
	value >= 0
	floor(value) == value
}

sound_table(table) if {
	is_object(table)
	every pointers in table {
		is_array(pointers)
		every pointer in pointers {
			startswith(pointer, "/")
		}
	}
}

# As the hub writes labels: one that nothing carries would be taken off in vain, and nobody would hear of it.
sound_labels(table) if {
	is_object(table)
	every by_kind in table {
		is_object(by_kind)
		count(by_kind) > 0
		every kind, labels in by_kind {
			kind in {"confidentiality", "integrity"}
			is_array(labels)
			count(labels) > 0
			every label in labels {
				regex.match(`^[a-z0-9][a-z0-9_.:-]{0,63}$`, label)
			}
		}
	}
}

listed(names) := concat(", ", sort([name | some name in names]))
