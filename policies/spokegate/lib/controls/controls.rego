# METADATA
# title: Control arguments
# description: The arguments that steer a function, and whether their values are the user's own words.
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
# title: All are present
# description: Holds for a function without control arguments too.
complete if {
	every pointer in input.resource.function.control_arguments {
		pointer in object.keys(present)
	}
}

# METADATA
# title: The user's own words
# description: >-
#   At least one control argument is present, and the value of each that is present stands in the user's own words. A
#   function that declares none is steered by all of its arguments, so nothing is known of it.
all_from_user if {
	count(present) > 0
	every pointer, value in present {
		from_user(pointer, value)
	}
}

# METADATA
# title: Value from the user
# scope: document
# description: >-
#   For a string or number the provenance says so; for a list it does for every item. An empty list is nobody's words,
#   and an object never counts, since its keys are values that have no provenance.
from_user(pointer, value) if {
	scalar(value)
	input.context.provenance[pointer].user == true
}

from_user(pointer, value) if {
	is_array(value)
	count(value) > 0
	every index, item in value {
		scalar(item)
		input.context.provenance[sprintf("%s/%v", [pointer, index])].user == true
	}
}

# METADATA
# title: Scalar
# scope: document
scalar(value) if is_string(value)

scalar(value) if is_number(value)
