import sys
from types import FunctionType
from typing import Any

from spoke_runner.sdk import App, Call

app = App()
COUNT = {"calls": 0}


@app.function
async def count(call: Call) -> dict[str, int]:
    COUNT["calls"] += 1
    return COUNT


@app.function
async def import_late(call: Call) -> dict[str, str]:
    import google.protobuf.json_format as late

    return {"file": str(late.__file__)}


@app.function
async def places(call: Call) -> dict[str, list[str]]:
    """Every path that the import system and the code objects know, whichever way they came."""
    found: set[str] = set()
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        given: list[Any] = [getattr(module, "__file__", None), getattr(spec, "origin", None)]
        given += [getattr(spec, "cached", None), *(getattr(module, "__path__", None) or ())]
        given += [value.__code__.co_filename for value in vars(module).values() if isinstance(value, FunctionType)]
        found |= {str(place) for place in given if place}
    return {"places": sorted({*found, *sys.path, *sys.argv, *sys.orig_argv, *sys.path_importer_cache})}


@app.function
async def hub_loaded(call: Call) -> dict[str, bool]:
    return {"hub": "hub" in sys.modules, "main": "__file__" in vars(sys.modules["__main__"])}
