# METADATA
# title: Content
# description: The arguments that do not steer a function but are what it carries, and whose words they are.
package spokegate.lib.content

import data.spokegate.lib.controls

# How much of a text has to be the user's, and how many words make one, for it to be what they dictated: a word of
# theirs that is changed ("k-th" to "1st") leaves it theirs, and what is said in a few common words is nobody's.
min_user_share := 0.8

min_words := 4

# METADATA
# title: Content arguments
# description: By pointer, the arguments that no control argument is, or is a part of.
arguments[pointer] := value if {
	some name, value in input.arguments
	pointer := concat("", ["/", replace(replace(name, "~", "~0"), "/", "~1")])
	not pointer in steering
}

# METADATA
# title: Dictated by the user
# description: There is a text in it that is the user's, and all else that it carries they said too.
dictated if {
	some pointer, value in arguments
	own_text(pointer, value)
	every other, content in arguments {
		own(other, content)
	}
}

# METADATA
# title: With foreign links
# description: The pointers of what holds a link that the user did not say.
foreign_links contains pointer if {
	some pointer, known in input.context.provenance
	count(known.links) > 0
	not steers(pointer)
}

own(pointer, value) if own_text(pointer, value)

own(pointer, value) if {
	controls.scalar(value)
	controls.said(pointer)
}

own_text(pointer, value) if {
	is_string(value)
	controls.said(pointer)
	count(split(value, " ")) >= min_words
}

own_text(pointer, value) if {
	is_string(value)
	share := input.context.provenance[pointer].user_share
	is_number(share)
	share >= min_user_share
}

steering contains pointer if some pointer in input.resource.function.control_arguments

steers(pointer) if pointer in steering

steers(pointer) if {
	some control in steering
	startswith(pointer, concat("", [control, "/"]))
}
