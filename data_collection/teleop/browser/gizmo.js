// Handles at the tool: arrows and a ball that move it, rings that turn it. Grabbing changes nothing by itself:
// what counts is how far the pointer has gone since, and the tool follows that with limited speed.

const HANDLES = {forward: [1, 0, 0], left: [0, 1, 0], up: [0, 0, 1]};
const TURNS = {roll: 0, pitch: 1, yaw: 2};  // about which of the tool's own axes
const COLOURS = {forward: [0.90, 0.27, 0.30], left: [0.30, 0.70, 0.35], up: [0.25, 0.50, 0.95], ball: [0.95, 0.72, 0.15],
                 roll: [0.90, 0.27, 0.30], pitch: [0.30, 0.70, 0.35], yaw: [0.25, 0.50, 0.95]};
const AROUND = 48;  // pieces of a ring
const FOLLOW_HZ = 4;  // speed [1/s] per distance to where it is dragged

class Gizmo {
  constructor(view) {
    this.view = view;
    this.turns = [];
    this.grabbed = null;
    this.hovered = null;
    if (view.gl) this.shapes = {arrow: arrow(view), ball: ball(view), ring: ring(view)};
  }

  get scale() {  // [m] of an arrow, so that it looks alike from near and far
    const distance = size(sub(this.view.tool.at, this.view.eye));
    return 0.15 * distance * Math.min(1, 420 / this.view.canvas.clientHeight + 0.2);
  }

  // Where the handles are: at the tool, or where it is dragged to.
  get frame() {
    return this.grabbed ? {at: this.grabbed.to, turn: this.grabbed.turn} : this.view.tool;
  }

  // Corners of each handle on the screen, for picking.
  lines() {
    const {at, turn} = this.frame, scale = this.scale, lines = {};
    for (const [name, axis] of Object.entries(HANDLES))
      lines[name] = [0.35, 0.6, 0.85, 1.1].map(s => add(at, scaled(axis, s * scale)));
    for (const name of this.turns) {
      const frame = frameAlong(column(turn, TURNS[name]));
      lines[name] = Array.from({length: AROUND + 1}, (_, i) => add(at, scaled(turned(frame, circle(i)), 0.8 * scale)));
    }
    lines.ball = [at];
    return lines;
  }

  pick(point, isTouch) {
    if (!this.view.tool) return null;
    let best = null, least = isTouch ? 26 : 13;
    for (const [name, places] of Object.entries(this.lines())) {
      const corners = places.map(place => this.view.project(place)).filter(Boolean);
      const away = distanceTo(point, corners) - (name === "ball" ? 6 : 0);
      if (away < least) [best, least] = [name, away];
    }
    return best;
  }

  grab(name, point) {
    const {at, turn} = this.view.tool;
    const axis = name in TURNS ? column(turn, TURNS[name]) : HANDLES[name];
    this.grabbed = {name, axis, from: at, to: at, turn, turnFrom: turn};
    if (name in TURNS) this.grabbed.seen = this.alongRing(name, point);
    this.grabbed.start = this.touched(point);
  }

  // A ring that is seen from its side is pulled along where it was grabbed: the way of a radian there, in pixels.
  // null: it is seen well enough to follow the pointer around it.
  alongRing(name, point) {
    const {from, axis} = this.grabbed;
    if (Math.abs(dot(this.view.ray(point), axis)) > 0.35) return null;
    const away = place => size(sub(this.view.project(place), point));
    const nearest = this.lines()[name].reduce((a, b) => away(a) < away(b) ? a : b);
    const onward = add(from, turned(turnAbout(axis, 0.05), sub(nearest, from)));
    return {from: point, way: scaled(sub(this.view.project(onward), this.view.project(nearest)), 20)};
  }

  drag(point) {
    const held = this.grabbed, now = this.touched(point);
    if (held.name in TURNS) {
      held.turn = product(turnAbout(held.axis, now - held.start), held.turnFrom);
    } else if (now) {
      held.to = add(held.from, sub(now, held.start));
    }
    this.view.needed = true;
  }

  release() {
    this.grabbed = null;
    this.view.needed = true;
  }

  // What the pointer is on: a place on the axis or in the plane that is dragged; of a ring, an angle.
  touched(point) {
    const {name, from, axis, seen} = this.grabbed, eye = this.view.eye, ray = this.view.ray(point);
    if (name in HANDLES) {
      const across = dot(ray, axis), apart = sub(from, eye), even = 1 - across * across;
      if (even < 0.01) return this.grabbed.start ?? from;  // it is looked along
      return add(from, scaled(axis, (across * dot(ray, apart) - dot(axis, apart)) / even));
    }
    if (seen) return dot(sub(point, seen.from), seen.way) / Math.max(dot(seen.way, seen.way), 400);
    const normal = name === "ball" ? this.view.forward : axis;
    const place = add(eye, scaled(ray, dot(sub(from, eye), normal) / dot(ray, normal)));
    if (name === "ball") return place;
    const arm = sub(place, from), frame = frameAlong(axis);
    return Math.atan2(dot(arm, column(frame, 1)), dot(arm, column(frame, 0)));
  }

  // Velocity [m/s] and turning [rad/s] of the tool in the world; null: nobody holds it.
  follow() {
    const tool = this.view.tool;
    if (!this.grabbed || !tool) return null;
    const {name, to, turn} = this.grabbed, left = axisAngle(product(turn, transposed(tool.turn)));
    const angular = name in TURNS ? scaled(left, FOLLOW_HZ) : [0, 0, 0];
    return {linear: scaled(sub(to, tool.at), FOLLOW_HZ), angular};
  }

  things(canDrive, isRecording) {
    if (!this.view.tool || !canDrive) return [];
    const {at, turn} = this.frame, scale = this.scale, active = this.grabbed?.name ?? this.hovered;
    const thing = (name, shape, frame) => {
      const isActive = name === active, faint = this.grabbed ? 0.25 : isRecording ? 0.95 : 0.5;
      const rgba = [...COLOURS[name].map(c => isActive ? Math.min(1, c + 0.25) : c), isActive ? 0.95 : faint];
      return {shape: this.shapes[shape], model: placed(at, frame, [scale, scale, scale]), rgba};
    };
    const things = Object.entries(HANDLES).map(([name, axis]) => thing(name, "arrow", frameAlong(axis)));
    for (const name of this.turns) things.push(thing(name, "ring", frameAlong(column(turn, TURNS[name]))));
    things.push(thing("ball", "ball", frameAlong([0, 0, 1])));
    return things;
  }
}

const circle = i => [Math.cos(2 * Math.PI * i / AROUND), Math.sin(2 * Math.PI * i / AROUND), 0];

function distanceTo(point, corners) {
  let least = Infinity;
  corners.forEach((b, i) => {
    const a = corners[Math.max(i - 1, 0)], along = sub(b, a), length = dot(along, along);
    const share = length ? clamp(dot(sub(point, a), along) / length, 0, 1) : 0;
    least = Math.min(least, size(sub(point, add(a, scaled(along, share)))));
  });
  return least;
}

// A shape turned about z from a profile of [radius, z, normal's radius, normal's z].
function lathe(view, profile) {
  const vertices = [], triangles = [], rows = profile.length;
  for (let i = 0; i <= AROUND; i++) {
    const [c, s] = circle(i);
    for (const [r, z, nr, nz] of profile) vertices.push(r * c, r * s, z, nr * c, nr * s, nz);
    if (i < AROUND) for (let k = 0; k + 1 < rows; k++) {
      const a = i * rows + k, b = a + rows;
      triangles.push(a, b, b + 1, a, b + 1, a + 1);
    }
  }
  return view.shape(new Float32Array(vertices), new Uint32Array(triangles));
}

const arrow = view => lathe(view, [
  [0.018, 0.16, 1, 0], [0.018, 0.8, 1, 0], [0.06, 0.8, 0, -1], [0.06, 0.8, 0.9, 0.4], [0, 1.05, 0.9, 0.4]]);
const bend = (at, radius, n) => Array.from({length: n + 1}, (_, i) => 2 * Math.PI * i / n).map(
  t => [at + radius * Math.cos(t), radius * Math.sin(t), Math.cos(t), Math.sin(t)]);
const ring = view => lathe(view, bend(0.8, 0.014, 12));
const ball = view => lathe(view, Array.from({length: 17}, (_, i) => Math.PI * (i / 16 - 0.5)).map(
  t => [0.085 * Math.cos(t), 0.085 * Math.sin(t), Math.cos(t), Math.sin(t)]));
