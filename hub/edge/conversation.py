"""From what happens while a wish is carried out to messages."""

from __future__ import annotations

from spokegate.v1 import hub_pb2

from hub.edge import convert
from hub.errors import FunctionNotFound, Refused, outside
from hub.sessions.converse import Answered, ConverseEvent, PlanMade, StepBegun, StepEnded, Text
from hub.sessions.plan import Plan


def response(event: ConverseEvent) -> hub_pb2.ConverseResponse:
    """Return an event as a client sees it."""
    match event:
        case PlanMade(plan):
            return hub_pb2.ConverseResponse(plan=_plan(plan))
        case StepBegun(step):
            change = hub_pb2.StepChange(step_id=step, state=hub_pb2.STEP_STATE_BEGUN)
            return hub_pb2.ConverseResponse(step=change)
        case StepEnded():
            return hub_pb2.ConverseResponse(step=_step_end(event))
        case Text(text):
            return hub_pb2.ConverseResponse(text=text)
        case Answered():
            return hub_pb2.ConverseResponse(
                final=hub_pb2.ConverseEnd(
                    text=event.text,
                    model_calls=event.model_calls,
                    prompts=event.prompts,
                    tokens=event.tokens,
                    labels=convert.labels(event.labels),
                )
            )


def _plan(plan: Plan) -> hub_pb2.Plan:
    return hub_pb2.Plan(
        steps=[
            hub_pb2.PlanStep(
                step_id=step.id, app=step.app.name, task=step.task, functions=step.functions, needs=step.needs
            )
            for step in plan.steps
        ]
    )


def _step_end(event: StepEnded) -> hub_pb2.StepChange:
    if event.error is None:
        return hub_pb2.StepChange(step_id=event.step, state=hub_pb2.STEP_STATE_DONE)
    refused = isinstance(event.error, (Refused, FunctionNotFound))
    return hub_pb2.StepChange(
        step_id=event.step,
        state=hub_pb2.STEP_STATE_REFUSED if refused else hub_pb2.STEP_STATE_FAILED,
        reason=outside(event.error).reason,
        decision_id=event.error.decision_id,
    )
