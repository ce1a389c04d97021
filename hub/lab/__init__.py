"""For the lab: what Spokegate is measured against. Nothing of it is part of a hub."""
