# METADATA
# title: Settings
# description: The numbers and tables that the rules go by. A site adds to them through its own package, never here.
package spokegate.settings

# METADATA
# title: Longest chain
# description: How many spokes a chain of calls may pass.
max_hops := 8

# METADATA
# title: Requests of a session
# description: How many requests one session may make.
max_session_requests := 1000

# METADATA
# title: Prompts of a session
# description: How many prompts apps may have shown to a person in one session.
max_session_prompts := 20

# METADATA
# title: Longest grant until a time
# description: How many seconds a grant with the scope until may hold at most.
max_until_seconds := 28800

# METADATA
# title: Largest result
# description: How many bytes of canonical JSON a spoke may receive as one result.
max_result_bytes := 65536

# METADATA
# title: Redacted results
# description: >-
#   What no other app is to see of a function's result: RFC 6901 pointers by the function's full name. Empty here; it is
#   a table for the owner of a fork, and a site says the same with obligations of its own.
redact_results := {}

# METADATA
# title: Relabelled results
# description: >-
#   Labels that the result of a function does not carry, whatever its app knows, because the function takes out what
#   they stand for: lists by kind, by the function's full name. The only way for labels to become fewer, so only
#   functions whose code the owner has read belong here. A site says the same with obligations of its own.
relabel_results := {}
