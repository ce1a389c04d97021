"""The lab: known attacks on assistants with apps, with and without Spokegate, by a model that obeys all it reads."""
