package system.authz_test

import data.system.authz

decision := ["v1", "data", "spokegate", "decision"]

test_the_decision_may_be_asked_for if {
	authz.allow with input as {"method": "POST", "path": decision}
}

test_health_may_be_seen if {
	authz.allow with input as {"method": "GET", "path": ["health"]}
}

test_no_other_method_reaches_the_decision if {
	every method in ["GET", "PUT", "PATCH", "DELETE", "HEAD", "post", ""] {
		not authz.allow with input as {"method": method, "path": decision}
	}
}

test_no_other_method_reaches_health if {
	every method in ["POST", "PUT", "PATCH", "DELETE", "HEAD"] {
		not authz.allow with input as {"method": method, "path": ["health"]}
	}
}

test_no_other_path_is_reached if {
	every path in [
		[],
		[""],
		["v1"],
		["v1", "data"],
		["v1", "data", "spokegate"],
		["v1", "data", "spokegate", "decision", "effect"],
		["v1", "data", "spokegate", "decision", ""],
		["v1", "data", "system", "authz", "allow"],
		["v0", "data", "spokegate", "decision"],
		["v1", "policies"],
		["v1", "policies", "any"],
		["v1", "query"],
		["v1", "compile"],
		["v1", "config"],
		["v1", "status"],
		["metrics"],
		["debug", "pprof"],
		["health", "live"],
	] {
		every method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
			not authz.allow with input as {"method": method, "path": path}
		}
	}
}

test_nothing_is_allowed_to_a_request_without_method_or_path if {
	every request in [{}, {"method": "POST"}, {"path": decision}, {"method": "GET"}, {"path": ["health"]}] {
		not authz.allow with input as request
	}
}
