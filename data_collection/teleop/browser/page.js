// Keys, buttons, fields.

const dashboard = new Dashboard(show("training"), episode => {
  if (episode) replay.start(episode.seed, episode.values, `Episode ${episode.number}`);
  else replay.end();
});
const replay = new Replay(show("replay"), view, () => dashboard.replayed());
const review = new Review(show("review"), view, (from, to) => order("trim", [from, to]));
const isReplaying = () => replay.isOn || review.isOn;
const deployment = new Deployment(show("deployment"));

function keyDown(event) {
  const key = event.key.length === 1 ? event.key : event.key.toLowerCase(), low = key.toLowerCase();
  if (event.ctrlKey || event.metaKey || event.altKey) return hands.releaseAll();  // no key may come up as it went down
  if (event.target.matches("input")) {
    if (key === "escape") event.target.blur();
    return;
  }
  if (event.target.matches("button, summary") && ["enter", " "].includes(key)) return;  // it is pressed so
  if (review.isOn && review.timeline.key(event.key, event.shiftKey)) return event.preventDefault();
  if (key === " ") hands.releaseAll();
  else if (key === "escape" && deployment.told) order("halt");
  else if (low in PUSHES && !(event.shiftKey && key.length === 1)) hands.held.set(event.code || low, low);
  else if (event.repeat) return;
  else if (key in FINGERS) hands.grip(FINGERS[key]);
  else if (key === "x") toggleFine();
  else if ("12345".includes(key)) order("quality", Number(key));
  else {
    const verb = Object.keys(hands.hello.keys ?? {}).find(name => hands.hello.keys[name] === key);
    if (!verb || verb === "quit") return;
    const field = document.querySelector(`[data-text=${verb}] input`);
    if (field) field.select();
    else if (verb === "trim") review.timeline.canvas.focus();
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
  new ResizeObserver(() => { view.needed = true; }).observe(show("view"));
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
      const {text} = input.form.dataset;
      typed.set(text, input.value);
      if (text !== "seed") order(text, input.value);
      else if (/^\d{0,10}$/.test(input.value.trim())) order(text, input.value.trim() ? Number(input.value) : null);
      else answered({verb: text, why: "it is a whole number"});
    });
  show("another").addEventListener("click", () => order("seed"));
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
