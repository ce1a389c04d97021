# METADATA
# title: Control arguments
# description: >-
#   The arguments that steer a function, and what is known of where their values come from. A function that declares
#   none is steered by all of its arguments, so nothing is known of it. Each value counts by itself: of a list every
#   item. Null and an empty list name nothing. An object never counts, since its keys are values without provenance.
package spokegate.lib.controls

import data.spokegate.lib.pointers

# METADATA
# title: Present control arguments
# description: By pointer, the values of those control arguments that the arguments have. An optional one may be absent.
present[pointer] := value if {
	some pointer in input.resource.function.control_arguments
	value := pointers.at(input.arguments, pointer)
}

# METADATA
# title: Control arguments that say something
# description: Those that are present and neither null nor an empty list.
given[pointer] := value if {
	some pointer, value in present
	not value in [null, []]
}

# METADATA
# title: All are present
# description: Holds for a function without control arguments too.
complete if {
	every pointer in input.resource.function.control_arguments {
		pointer in object.keys(present)
	}
}

# METADATA
# title: The user's own words
# description: At least one control argument says something, and all that steers stands in the user's own words.
all_from_user if {
	plain
	every pointer in values {
		said(pointer)
	}
}

# METADATA
# title: Known
# description: >-
#   At least one control argument says something, and all that steers is what the user said, or names something that is
#   there.
all_known if {
	plain
	every pointer in values {
		known(pointer)
	}
}

# METADATA
# title: Plain
# description: At least one control argument says something, and each that does is a text, a number, or a list of them.
plain if {
	count(given) > 0
	every _, value in given {
		plain_value(value)
	}
}

# METADATA
# title: Values that steer
# scope: document
# description: The pointers of all texts and numbers in the control arguments.
values contains pointer if {
	some pointer, value in given
	scalar(value)
}

values contains item if {
	some pointer, value in given
	is_array(value)
	some index, _ in value
	item := sprintf("%s/%v", [pointer, index])
}

# METADATA
# title: A number
# scope: document
numeric(pointer) if is_number(pointers.at(input.arguments, pointer))

# METADATA
# title: Said by the user
# scope: document
said(pointer) if input.context.provenance[pointer].user == true

# METADATA
# title: Names something that is there
# description: It is, whole, what an app that is trusted for it calls a thing that it keeps.
# scope: document
listed(pointer) if count(input.context.provenance[pointer].identifier_of) > 0

# METADATA
# title: A leaf
# description: It is, whole, a field or an item of what some function returned; no text only mentions it.
# scope: document
leaf(pointer) if count(input.context.provenance[pointer].leaf_of) > 0

# METADATA
# title: Known value
# scope: document
known(pointer) if said(pointer)

known(pointer) if listed(pointer)

# METADATA
# title: Of a source that the user named
# description: It stands in what a read returned whose own control arguments the user said, or a person agreed to.
# scope: document
of_named_source(pointer) if is_object(input.context.provenance[pointer].named_source)

# METADATA
# title: Quoted
# description: It stands, whole, in what some function returned.
# scope: document
quoted(pointer) if count(input.context.provenance[pointer].from) > 0

# METADATA
# title: Scalar
# scope: document
scalar(value) if is_string(value)

scalar(value) if is_number(value)

plain_value(value) if scalar(value)

plain_value(value) if {
	is_array(value)
	every item in value {
		scalar(item)
	}
}
