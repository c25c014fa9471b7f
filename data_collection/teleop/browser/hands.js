// What hands do now: held keys, on-screen pads, a gamepad, the handles in the picture, sliders of joints.

const AXES = ["forward", "left", "up", "roll", "pitch", "yaw"];
const PUSHES = {w: [0, 1], s: [0, -1], arrowup: [0, 1], arrowdown: [0, -1], a: [1, 1], d: [1, -1], arrowleft: [1, 1],
                arrowright: [1, -1], r: [2, 1], f: [2, -1], pageup: [2, 1], pagedown: [2, -1],
                l: [3, 1], j: [3, -1], i: [4, 1], k: [4, -1]};
const FINGERS = {o: 1, c: -1};
const FINE = 0.2;  // share of the speed
const PRESS_MS = 200;  // a press of the gripper's keys lasts so long, for the loop to see it
const SLIDE_MS = 1000;  // joints go on towards their sliders for so long after these were let go
const PAD_BUTTONS = {0: "success", 1: "failure", 2: "stop", 3: "save", 8: "discard", 9: "start"};  // standard mapping
const OPEN_BUTTON = 4, CLOSE_BUTTON = 5, TILT_UP_BUTTON = 12, TILT_DOWN_BUTTON = 13;

class HeldHands {
  constructor(view, gizmo) {
    Object.assign(this, {view, gizmo, held: new Map(), pads: new Map(), joints: null, slidUntil: 0, fine: false});
    // held: what the keys that are down do, by their place: what a key says changes with others beside it
    this.gripper = 0;
    this.gripUntil = 0;
    this.pressed = new Set();  // of the gamepad's buttons
    this.hello = {frame: "base", flip: [], speed_m_s: 0.25, speed_rad_s: 1.5, dead_zone: 0.05, turns: []};
  }

  releaseAll() {
    this.held.clear();
    this.pads.clear();
    this.gizmo.release();
    this.slidUntil = this.gripUntil = 0;
  }

  grip(way) {
    [this.gripper, this.gripUntil] = [way, performance.now() + PRESS_MS];
  }

  slide(joints) {
    [this.joints, this.slidUntil] = [joints, performance.now() + SLIDE_MS];
  }

  // Orders that the gamepad's buttons give, each once when it goes down.
  *padOrders() {
    const pad = gamepad(), down = new Set(pad ? pad.buttons.flatMap((button, i) => button.pressed ? [i] : []) : []);
    for (const i of down) if (!this.pressed.has(i) && i in PAD_BUTTONS) yield PAD_BUTTONS[i];
    this.pressed = down;
  }

  // Six shares in [-1, 1], see AXES; null: nothing is pushed.
  pushes() {
    const sum = [0, 0, 0, 0, 0, 0];
    for (const key of this.held.values()) sum[PUSHES[key][0]] += PUSHES[key][1];
    for (const pushed of this.pads.values()) pushed.forEach((x, i) => { sum[i] += x; });
    this.ofGamepad().forEach((x, i) => { sum[i] += x; });
    const shares = sum.map(x => clamp(x, -1, 1) * (this.fine ? FINE : 1));
    return this.held.size || this.pads.size || sum.some(x => x) ? shares : null;
  }

  ofGamepad() {
    const pad = gamepad();
    if (!pad) return [];
    const live = x => Math.abs(x ?? 0) > Math.max(this.hello.dead_zone, 0.02) ? x : 0;
    const [x, y, turn, lift] = [0, 1, 2, 3].map(i => live(pad.axes[i]));
    const isDown = i => pad.buttons[i]?.pressed ? 1 : 0;
    if (isDown(OPEN_BUTTON) || isDown(CLOSE_BUTTON)) this.grip(isDown(OPEN_BUTTON) ? 1 : -1);
    return [-y, -x, -lift, turn, isDown(TILT_UP_BUTTON) - isDown(TILT_DOWN_BUTTON), 0];
  }

  // As the loop wants to hear it; null: hands off.
  jog() {
    const now = performance.now(), dragged = this.gizmo.follow(), pushed = this.pushes(), {hello} = this;
    const isGripping = now < this.gripUntil, isSliding = this.joints && now < this.slidUntil;
    if (!dragged && !pushed && !isGripping && !isSliding) return null;
    let linear = [0, 0, 0], angular = [0, 0, 0];
    if (dragged) {
      linear = this.live(turnedBack(this.axes(), dragged.linear), hello.speed_m_s, 0);
      angular = this.live(turnedBack(this.view.tool.turn, dragged.angular), hello.speed_rad_s, 3);
    } else if (pushed) {
      linear = this.asSeen(pushed.slice(0, 3));
      angular = pushed.slice(3);
    }
    return {linear, angular, gripper: isGripping ? this.gripper : 0, joints: isSliding ? this.joints : null};
  }

  signs(first) {
    return [0, 1, 2].map(i => this.hello.flip.includes(AXES[first + i]) ? -1 : 1);
  }

  // Forward, left and up of the frame that the steering is set to, as columns in the world.
  axes() {
    const {frame} = this.hello;
    return frame === "tool" ? this.view.tool.turn : turnAbout([0, 0, 1], frame === "camera" ? radians(this.view.home.azimuth) : 0);
  }

  // A speed as a share of the greatest, such that it is what flipped axes and a dead zone leave of it.
  live(speed, most, first) {
    const {dead_zone} = this.hello, signs = this.signs(first), share = within(scaled(speed, 1 / most), 1), length = size(share);
    if (length < 1e-3) return [0, 0, 0];
    return scaled(share, (dead_zone + length * (1 - dead_zone)) / length).map((x, i) => clamp(x * signs[i], -1, 1));
  }

  // In the frame of the camera, forward is away from whoever looks, also once the picture was turned.
  asSeen(push) {
    if (this.hello.frame !== "camera" || !this.view.home) return push;
    const signs = this.signs(0), angle = radians(this.view.camera.azimuth - this.view.home.azimuth);
    return turned(turnAbout([0, 0, 1], angle), push.map((x, i) => x * signs[i])).map((x, i) => clamp(x * signs[i], -1, 1));
  }
}

const gamepad = () => Array.from(navigator.getGamepads?.() ?? []).find(pad => pad?.connected) ?? null;

// A pad under a finger: pushes the axes named in data-across and data-along ("-left": the other way round).
function preparePad(element, hands) {
  const knob = element.querySelector("i");
  const push = (name, x) => {
    const axis = AXES.indexOf(name?.replace("-", "") ?? "");
    return AXES.map((_, i) => i === axis ? (name.startsWith("-") ? -x : x) : 0);
  };
  const move = event => {
    if (!hands.pads.has(element.id) && event.type !== "pointerdown") return;
    const box = element.getBoundingClientRect(), reach = Math.max(box.width, box.height) / 2 - 14;
    let [x, y] = [(event.clientX - box.x - box.width / 2) / reach, (box.y + box.height / 2 - event.clientY) / reach];
    if (!element.dataset.across) x = 0;
    if (!element.dataset.along) y = 0;
    [x, y] = within([x, y], 1);
    hands.pads.set(element.id, add(push(element.dataset.across, x), push(element.dataset.along, y)));
    knob.style.translate = `${x * reach}px ${-y * reach}px`;
  };
  const release = () => {
    hands.pads.delete(element.id);
    knob.style.translate = "";
  };
  element.addEventListener("pointerdown", event => {
    if (element.closest("[inert]")) return;
    element.setPointerCapture(event.pointerId);
    move(event);
  });
  element.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, release);
  element.addEventListener("contextmenu", event => event.preventDefault());
}
