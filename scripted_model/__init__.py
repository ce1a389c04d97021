"""A model that plays a script: a real server of the chat-completions API with nothing behind it but rules.

For tests, the demo and `spokegate chat --scripted`; never chosen without being asked for. It answers by the first rule
that fits, always alike, as slowly as it is told to, and fails in whatever way a rule says. `Obedient` makes the worst
of any script: it follows every instruction that it sees, whoever wrote it.
"""

from scripted_model.conversation import Conversation, MadeCall, Tool
from scripted_model.obedience import FICTION, REFUSAL, Obedient
from scripted_model.script import Brain, Fault, Reply, Rule, Script, ScriptInvalid, ToolCall, When, load_script
from scripted_model.server import ScriptedModel, Seen

__all__ = [
    "FICTION",
    "REFUSAL",
    "Brain",
    "Conversation",
    "Fault",
    "MadeCall",
    "Obedient",
    "Reply",
    "Rule",
    "Script",
    "ScriptInvalid",
    "ScriptedModel",
    "Seen",
    "Tool",
    "ToolCall",
    "When",
    "load_script",
]
