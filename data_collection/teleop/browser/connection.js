// The connection to the session: what it says, what is said to it, and how old what is known is.

const SEND_MS = 33, AGAIN_MS = 500, SILENT_MS = 1500, TAKEN = 4001;
const REST_MS = 100, OLD_MS = 1000, TRIP_MS = 1500;  // an older picture, or a longer way there and back, is no ground to act on
const show = id => document.getElementById(id);
const token = document.querySelector("meta[name=token]").content;
let socket = null, wasScene = false, isOver = false, isRefused = false, wasStopped = false;
let state = {status: null, allowed: []}, heard = 0, tripMs = 0;
let sent = 0, wasOff = true;
let arrived = -Infinity;  // the latest picture

function connect() {
  const who = new URLSearchParams({token, seat: sessionStorage.getItem("seat") ?? ""});
  socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/hands?${who}`);
  socket.binaryType = "arraybuffer";
  wasScene = false;
  socket.onmessage = ({data}) => typeof data === "string" ? hear(JSON.parse(data)) : hearBytes(data);
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

function hearBytes(data) {
  if (!wasScene) {
    const {camera, home} = view;
    view.load(data);
    if (home) view.camera = camera;  // as the person had it
    wasScene = true;
    return;
  }
  arrived = performance.now();
  if (data.byteLength > 4) {
    (review.isOn ? review : replay).moved(new Float32Array(data, 4));
    followJoints();
  }
  say({say: "got", number: new Uint32Array(data, 0, 1)[0]});
}

function hear(message) {
  heard = performance.now();
  if (message.say === "hello") return greet(message);
  if (message.say === "answer") return answered(message);
  if (message.say === "board") return dashboard.show(message.board, message.replays);
  if (message.say === "value") return dashboard.value(message.value);
  if (message.say === "over") [isOver, wasStopped] = [true, dashboard.ended()];
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
  const isForAll = verb === "halt";  // of every page, whatever it knows
  if (!state.drives && !isForAll) return;
  if (isForAll ? isLost() : isBehind()) answered({verb, why: isLost() ? "the connection is lost" : "the connection is too slow"});
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
  const jog = state.drives && !document.hidden && !isBehind() && !isReplaying() ? hands.jog() : null;
  if (jog) say({say: "jog", at: now, ...jog});
  else if (!wasOff || now - sent > REST_MS) say({say: "off", at: now});
  else return;
  [sent, wasOff] = [now, !jog];
}
