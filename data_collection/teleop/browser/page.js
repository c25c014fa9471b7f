// The connection, and what the page shows of the session.

const SEND_MS = 33, AGAIN_MS = 500, SILENT_MS = 1500, TAKEN = 4001;
const REST_MS = 100, OLD_MS = 1000, TRIP_MS = 1500;  // an older picture, or a longer way there and back, is no ground to act on
const STATES = {idle: "Ready", countdown: "Get ready", recording: "Recording", reviewing: "Review", over: "Over"};
const show = id => document.getElementById(id);
const token = document.querySelector("meta[name=token]").content;
const view = new View(show("view")), gizmo = new Gizmo(view), hands = new HeldHands(view, gizmo);
let socket = null, wasScene = false, isOver = false, isRefused = false;
let state = {status: null, allowed: []}, heard = 0, tripMs = 0;
let sent = 0, wasOff = true;
let arrived = -Infinity;  // the latest picture

// Connection

function connect() {
  const who = new URLSearchParams({token, seat: sessionStorage.getItem("seat") ?? ""});
  socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/hands?${who}`);
  socket.binaryType = "arraybuffer";
  wasScene = false;
  socket.onmessage = ({data}) => typeof data === "string" ? take(JSON.parse(data)) : takeBytes(data);
  socket.onclose = ({code}) => {
    if (code === TAKEN) sessionStorage.removeItem("seat");  // this page is watched from now on
    hands.releaseAll();
    state = {...state, drives: false};
    draw();
    setTimeout(wasScene && !isOver ? connect : lookAgain, AGAIN_MS);
  };
}

// Where this page's token is not taken any more, there may be another session at the same address.
async function lookAgain() {
  const answer = await fetch(location.href).catch(() => null), text = await answer?.text();
  if (answer?.ok && !text.includes(token)) return location.reload();
  isRefused = answer?.status === 403;
  connect();
}

function takeBytes(data) {
  if (!wasScene) {
    const {camera, home} = view;
    view.load(data);
    if (home) view.camera = camera;  // as the person had it
    wasScene = true;
    return;
  }
  arrived = performance.now();
  if (data.byteLength > 4) {
    view.poses = new Float32Array(data, 4);
    view.needed = true;
    followJoints();
  }
  say({say: "got", number: new Uint32Array(data, 0, 1)[0]});
}

function take(message) {
  heard = performance.now();
  if (message.say === "hello") return greet(message);
  if (message.say === "answer") return answered(message);
  if (message.say === "over") isOver = true;
  else state = message;
  if (message.at) tripMs = performance.now() - message.at;
  if (!state.drives) hands.releaseAll();
  draw();
}

function greet(hello) {
  sessionStorage.setItem("seat", hello.seat);
  hands.hello = hello;
  gizmo.turns = hello.turns;
  put("task", hello.task);
  document.title = hello.task;
  for (const key of document.querySelectorAll("button[data-verb] kbd, form kbd")) key.remove();
  for (const item of document.querySelectorAll("[data-verb], [data-text]")) {
    const key = hello.keys[item.dataset.verb ?? item.dataset.text];
    if (key && item.dataset.verb !== "quality" && item.dataset.verb !== "quit") addKey(item.querySelector("input") ?? item, key);
  }
  makeSliders(hello.joints);
}

function addKey(beside, key) {
  const made = document.createElement("kbd");
  made.textContent = key.length === 1 && key !== key.toLowerCase() ? `⇧ ${key.toLowerCase()}` : key;
  beside.tagName === "INPUT" ? beside.before(made) : beside.append(made);
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

const isLost = () => !isOver && (socket?.readyState !== WebSocket.OPEN || performance.now() - heard > SILENT_MS);

// Whether what is known here may not be so any more, or what is done here comes late.
function isBehind() {
  const now = performance.now();
  return isLost() || now - arrived > OLD_MS || now - state.at > TRIP_MS;
}

function order(verb, value = null) {
  if (!state.drives) return;
  if (isBehind()) answered({verb, why: isLost() ? "the connection is lost" : "the connection is too slow"});
  else say({say: "order", verb, value});
}

const typed = new Map();  // texts that the session has not taken yet, by their verb

function answered({verb, why}) {
  if (!why) typed.delete(verb);
  put("refused", why && `Not done: ${verb}. ${why[0].toUpperCase()}${why.slice(1)}.`);
  show("refused").hidden = !why;
}

// What hands do, thirty times a second while they do something; else a sign of life.
function tellHands() {
  const now = performance.now();
  for (const verb of hands.padOrders()) order(verb);
  const jog = state.drives && !document.hidden && !isBehind() ? hands.jog() : null;
  if (jog) say({say: "jog", at: now, ...jog});
  else if (!wasOff || now - sent > REST_MS) say({say: "off", at: now});
  else return;
  [sent, wasOff] = [now, !jog];
}

// The picture

function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16) / 255);
}

function frame() {
  requestAnimationFrame(frame);
  if (!view.gl || !view.needed || !view.poses || !view.items.length || !view.isFree()) return;
  view.draw(gizmo.things(state.drives, state.status?.state === "recording"), colour("--ground"), colour("--line"));
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
  const name = state.drives && !fingers.size && event.button === 0 ? gizmo.pick(point, event.pointerType === "touch") : null;
  if (name) gizmo.grab(name, point);
  fingers.set(event.pointerId, point);
  view.needed = true;
}

function moved(event) {
  const point = pointOn(event), before = fingers.get(event.pointerId);
  if (!before) {
    const name = state.drives && view.poses ? gizmo.pick(point, false) : null;
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

// Sliders of joints, of robots without a tool: they follow the robot until somebody moves one.

function makeSliders(names) {
  const rows = names.map((name, i) => {
    const label = document.createElement("label"), slider = document.createElement("input");
    Object.assign(slider, {type: "range", min: -1, max: 1, step: 0.01, value: 0});
    slider.addEventListener("input", () => hands.slide(sliders().map(one => Number(one.value))));
    label.append(name.replace(/_target$/, ""), slider);
    return label;
  });
  show("joints").querySelector("div").replaceChildren(...rows);
}

const sliders = () => Array.from(show("joints").querySelectorAll("input"));

function followJoints() {
  if (view.toolRow !== null || performance.now() < hands.slidUntil) return;
  const first = POSE * view.items.length;
  sliders().forEach((slider, i) => { slider.value = view.poses[first + i]; });
}

// What is shown of the session

function put(id, text) {
  if (show(id).textContent !== text) show(id).textContent = text;
}

function draw() {
  const {status, allowed} = state, lost = isLost();
  const kinds = [isOver ? "over" : lost ? "lost" : status?.state, state.drives && "drives", status?.success && "solved",
                 view.toolRow !== null && view.toolRow !== undefined && "tool", hands.hello.turns.length && "turns"];
  document.body.className = kinds.filter(Boolean).join(" ");
  const isSlow = state.drives && isBehind();
  show("lost").hidden = !lost && !isOver && status && !state.silent_s && !isSlow;
  put("lost", isOver ? "The session is over"
      : lost && isRefused ? "Another session runs here: open the address that it printed"
      : lost ? "Connection lost; looking for the session"
      : isSlow ? "The connection is too slow to drive"
      : `The control loop has been silent for ${state.silent_s} s`);
  show("asked").hidden = !state.asked;
  show("watching").hidden = lost || isOver || state.drives;
  show("ask").disabled = Boolean(state.asks);
  put("ask", state.driven ? "Ask for control" : "Drive");
  show("watching").querySelector("span").textContent = state.asks ? "Asked for control; the other page answers."
      : state.driven ? "Another page drives; you watch." : "Nobody drives.";
  show("joints").hidden = view.toolRow !== null || !hands.hello.joints;
  for (const button of document.querySelectorAll("[data-verb]"))
    button.disabled = lost || isOver || !state.drives || !allowed.includes(button.dataset.verb);
  for (const button of document.querySelectorAll("#grip button")) button.disabled = !state.drives;
  for (const input of document.querySelectorAll("aside input")) input.disabled = !state.drives;
  put("seat", lost ? "" : `${state.drives ? "you drive" : "watching"}${state.pages > 1 ? ` · ${state.pages} pages` : ""}`);
  if (!status) return;
  put("state", isOver ? STATES.over : STATES[status.state] ?? status.state);
  const hasSteps = ["recording", "reviewing"].includes(status.state);
  put("step", hasSteps && status.horizon ? `step ${status.step} of ${status.horizon}` : "");
  show("bar").firstElementChild.style.width = hasSteps && status.horizon ? `${100 * status.step / status.horizon}%` : "0";
  put("rate", status.rate_hz ? `${status.rate_hz.toFixed(1)} Hz · late ${status.lag_ms.toFixed(1)} ms · page ${tripMs.toFixed(0)} ms` : "");
  put("good", String(status.good));
  put("target", status.target ? `of ${status.target} good episodes · ${status.episodes} saved` : `good · ${status.episodes} saved`);
  show("filled").firstElementChild.style.width = status.target ? `${clamp(100 * status.good / status.target, 0, 100)}%` : "0";
  put("said", status.said);
  put("warning", status.warning);
  show("warning").hidden = !status.warning;
  const {success = null, quality = null, note = ""} = status.label;
  const isPressed = {success: success === true, failure: success === false};
  for (const button of document.querySelectorAll("#label [data-verb]"))
    button.setAttribute("aria-pressed", String(isPressed[button.dataset.verb] ?? quality === Number(button.dataset.value)));
  for (const [name, text] of [["note", note ?? ""], ["instruction", status.instruction ?? ""]]) {
    const input = document.querySelector(`[data-text=${name}] input`);
    if (document.activeElement !== input && !typed.has(name) && input.value !== text) input.value = text;
  }
}

// Keys, buttons, fields

function keyDown(event) {
  const key = event.key.length === 1 ? event.key : event.key.toLowerCase(), low = key.toLowerCase();
  if (event.ctrlKey || event.metaKey || event.altKey) return hands.releaseAll();  // no key may come up as it went down
  if (event.target.matches("input")) {
    if (key === "escape") event.target.blur();
    return;
  }
  if (event.target.matches("button, summary") && ["enter", " "].includes(key)) return;  // it is pressed so
  if (key === " ") hands.releaseAll();
  else if (low in PUSHES && !(event.shiftKey && key.length === 1)) hands.held.set(event.code || low, low);
  else if (event.repeat) return;
  else if (key in FINGERS) hands.grip(FINGERS[key]);
  else if (key === "x") toggleFine();
  else if ("12345".includes(key)) order("quality", Number(key));
  else {
    const verb = Object.keys(hands.hello.keys ?? {}).find(name => hands.hello.keys[name] === key);
    if (!verb || verb === "quit") return;
    const field = document.querySelector(`[data-text=${verb}] input`);
    if (field) field.focus();
    else order(verb);
  }
  event.preventDefault();
  tellHands();
}

function toggleFine() {
  hands.fine = !hands.fine;
  show("fine").setAttribute("aria-pressed", String(hands.fine));
}

function prepare() {
  addEventListener("keydown", keyDown);
  addEventListener("keyup", event => {
    hands.held.delete(event.code || event.key.toLowerCase());
    if (event.ctrlKey || event.metaKey || event.altKey) hands.releaseAll();
    tellHands();
  });
  addEventListener("blur", () => hands.releaseAll());
  document.addEventListener("visibilitychange", () => hands.releaseAll());
  addEventListener("pagehide", () => socket?.close());
  addEventListener("resize", () => { view.needed = true; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { view.needed = true; });
  const canvas = show("view");
  for (const [name, does] of [["pointerdown", pressed], ["pointermove", moved], ["pointerup", released], ["pointercancel", released]])
    canvas.addEventListener(name, does);
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    view.zoom(Math.exp(clamp(event.deltaY, -200, 200) * 0.0012));
  }, {passive: false});
  document.querySelectorAll(".pad").forEach(pad => preparePad(pad, hands));
  for (const button of document.querySelectorAll("[data-verb]"))
    button.addEventListener("click", () => order(button.dataset.verb, button.dataset.value ? Number(button.dataset.value) : null));
  for (const button of document.querySelectorAll("[data-key]"))
    button.addEventListener("click", () => hands.grip(FINGERS[button.dataset.key]));
  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", event => {
    event.preventDefault();
    form.querySelector("input").blur();
  });
  for (const input of document.querySelectorAll("form input"))
    input.addEventListener("change", () => {
      typed.set(input.form.dataset.text, input.value);
      order(input.form.dataset.text, input.value);
    });
  for (const name of ["ask", "grant", "refuse"]) show(name).addEventListener("click", () => say({say: name}));
  show("home").addEventListener("click", () => view.goHome());
  show("fine").addEventListener("click", toggleFine);
  addEventListener("click", event => { if (event.detail) event.target.closest?.("button")?.blur(); });  // Enter is for orders
  show("flat").hidden = view.gl !== null;
  setInterval(tellHands, SEND_MS);
  setInterval(draw, REST_MS);
  connect();
  frame();
}

prepare();
