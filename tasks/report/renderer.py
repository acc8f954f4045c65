"""Charts become SVGs in a process of their own: what the renderer, a JavaScript engine, takes is not the driver's."""

import json
from collections.abc import Mapping

from evenkeel.infra.errors import ResourceError
from evenkeel.infra.isolation import Json, ProcessDied, call_isolated


def render_svg(specification: Mapping[str, object]) -> str:
    """Return a Vega-Lite specification as an SVG document.

    Raises ResourceError where the process that draws ends, twice, as it does where memory is short.
    """
    try:
        return str(call_isolated(_render, {"specification": json.dumps(specification)})["svg"])
    except ProcessDied as death:
        raise ResourceError(
            "a chart of the card cannot be drawn",
            found=death.reason,
            remedy="give the driver's machine 200 MB more memory; a second run goes on from here",
        ) from death


def _render(argument: Json) -> Json:
    import vl_convert

    return {"svg": vl_convert.vegalite_to_svg(str(argument["specification"]), allowed_base_urls=[])}
