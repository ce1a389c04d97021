# METADATA
# title: Pointers
# description: RFC 6901.
package spokegate.lib.pointers

# METADATA
# title: Value at a pointer
# description: Undefined when the pointer points at nothing.
at(document, pointer) := json.patch(
	{"document": document},
	[{"op": "copy", "from": concat("", ["/document", pointer]), "path": "/value"}],
).value
