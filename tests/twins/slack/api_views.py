"""Modals and home tabs: views.open, push, update, publish."""

from __future__ import annotations

import secrets

from .blocks import check_view
from .calls import Ask, method
from .workspace import Json, Refused, Trigger, View, World

STACK = 3


@method("views.open")
def open_(ask: Ask) -> Json:
    payload = _payload(ask, "modal")
    trigger = _trigger(ask)
    ask.world.modals[trigger.team, trigger.user] = []  # a new one takes the place of what was there
    return {"view": ask.world.view_json(show_modal(ask.world, trigger, payload))}


@method("views.push")
def push(ask: Ask) -> Json:
    payload = _payload(ask, "modal")
    trigger = _trigger(ask)
    stack = ask.world.modals.get((trigger.team, trigger.user), [])
    if not stack:
        raise Refused("not_found")
    if len(stack) >= STACK:
        raise Refused("push_limit_reached")
    return {"view": ask.world.view_json(show_modal(ask.world, trigger, payload))}


@method("views.update")
def update(ask: Ask) -> Json:
    view = _existing(ask)
    payload = _payload(ask, view.type, keeping=view)
    _check_hash(ask, view)
    return {"view": ask.world.view_json(replace_view(ask.world, view, payload))}


@method("views.publish")
def publish(ask: Ask) -> Json:
    payload = _payload(ask, "home")
    user = ask.user("user_id")
    view = ask.world.home_of(ask.install.app, ask.team, user.id)
    if view is None:
        view = _made(ask.world, ask.team, user.id, ask.install.app, payload)
        ask.world.homes[ask.install.app, ask.team, user.id] = view.id
    else:
        _check_hash(ask, view)
        replace_view(ask.world, view, payload)
    return {"view": ask.world.view_json(view)}


# ── also for `response_action` of a submission ───────────────────────────────────────────────


def show_modal(world: World, trigger: Trigger, payload: Json) -> View:
    """Put a checked modal on top of a person's stack."""
    stack = world.modals.setdefault((trigger.team, trigger.user), [])
    view = _made(world, trigger.team, trigger.user, trigger.app, payload)
    if stack:
        view.root_id, view.previous_id = world.views[stack[0]].id, stack[-1]
    stack.append(view.id)
    return view


def replace_view(world: World, view: View, payload: Json) -> View:
    """Give a view another content; what a person typed stays where block and action are the same."""
    view.payload = _with_block_ids(world, payload)
    view.external_id = str(payload.get("external_id") or view.external_id)
    view.hash = _hash(world)
    view.updates += 1
    return view


def _made(world: World, team: str, user: str, app: str, payload: Json) -> View:
    view = View(
        world.new_id("V"),
        team,
        user,
        app,
        str(payload["type"]),
        _with_block_ids(world, payload),
        _hash(world),
        external_id=str(payload.get("external_id") or ""),
    )
    world.views[view.id] = view
    return view


def _with_block_ids(world: World, payload: Json) -> Json:
    return {**payload, "blocks": world.own_blocks("", payload["blocks"], True)}


def _hash(world: World) -> str:
    return f"{world.now():.0f}.{secrets.token_hex(4)}"


def _payload(ask: Ask, wanted: str, *, keeping: View | None = None) -> Json:
    payload = check_view(ask.decoded("view", "invalid_arguments"), wanted=wanted)
    external = str(payload.get("external_id") or "")
    if external and any(
        v.external_id == external and v.team == ask.team and v.open and v is not keeping
        for v in ask.world.views.values()
    ):
        raise Refused("duplicate_external_id")
    return payload


def _trigger(ask: Ask) -> Trigger:
    return ask.world.take_trigger(ask.need("trigger_id"), ask.install.app)


def _existing(ask: Ask) -> View:
    wanted, external = ask.text("view_id"), ask.text("external_id")
    for view in ask.world.views.values():
        named = view.id == wanted if wanted else external and view.external_id == external
        if named and view.open and view.app == ask.install.app:
            return view
    raise Refused("not_found")


def _check_hash(ask: Ask, view: View) -> None:
    if ask.text("hash") and ask.text("hash") != view.hash:
        raise Refused("hash_conflict")
