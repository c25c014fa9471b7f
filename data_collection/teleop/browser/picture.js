// The picture: what is drawn, and what fingers and the mouse do on it.

const view = new View(show("view")), gizmo = new Gizmo(view), hands = new HeldHands(view, gizmo);

function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16) / 255);
}

function frame() {
  requestAnimationFrame(frame);
  if (!view.gl || !view.needed || !view.poses || !view.items.length || !view.isFree()) return;
  const isLive = ["recording", "policy", "person"].includes(state.status?.state);
  view.draw(gizmo.things(state.drives && !isReplaying(), isLive), colour("--ground"), colour("--line"));
}

const fingers = new Map();  // on the picture, where each was last
let apart = 0;

function pointOn(event) {
  const box = show("view").getBoundingClientRect();
  return [event.clientX - box.x, event.clientY - box.y];
}

function pressed(event) {
  document.activeElement?.blur();
  show("view").setPointerCapture(event.pointerId);
  const point = pointOn(event);
  const name = state.drives && !isReplaying() && !fingers.size && event.button === 0 ? gizmo.pick(point, event.pointerType === "touch") : null;
  if (name) gizmo.grab(name, point);
  fingers.set(event.pointerId, point);
  view.needed = true;
}

function moved(event) {
  const point = pointOn(event), before = fingers.get(event.pointerId);
  if (!before) {
    const name = state.drives && !isReplaying() && view.poses ? gizmo.pick(point, false) : null;
    if (name !== gizmo.hovered) view.needed = true;
    gizmo.hovered = name;
    show("view").classList.toggle("handle", name !== null);
    return;
  }
  fingers.set(event.pointerId, point);
  if (gizmo.grabbed) return gizmo.drag(point);
  const by = sub(point, before);
  if (fingers.size === 2) {
    const [a, b] = fingers.values(), now = size(sub(a, b));
    if (apart) view.zoom(apart / now);
    apart = now;
    view.pan(by[0] / 2, by[1] / 2);
  } else if (event.shiftKey || event.buttons & 6) view.pan(...by);
  else view.orbit(...by);
}

function released(event) {
  fingers.delete(event.pointerId);
  apart = 0;
  if (gizmo.grabbed) gizmo.release();
}
