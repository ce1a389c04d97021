# METADATA
# title: Authorization of the OPA API
# description: >-
#   What the hub may do with its OPA: ask for a decision and see whether it is up. Policies and data come from the
#   bundle alone, so everything else is refused, whoever asks.
# schemas:
#   - input:
#       type: object
#       properties:
#         method: {type: string}
#         path: {type: array, items: {type: string}}
package system.authz

# METADATA
# title: Allowed calls
# scope: document
default allow := false

allow if {
	input.method == "POST"
	input.path == ["v1", "data", "spokegate", "decision"]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
