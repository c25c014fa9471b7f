// What is shown of the session.

const STATES = {idle: "Ready", countdown: "Get ready", recording: "Recording", reviewing: "Review", over: "Over",
                policy: "Policy acts", person: "You act", waiting: "Waiting"};

function put(id, text) {
  if (show(id).textContent !== text) show(id).textContent = text;
}

function draw() {
  const {status, allowed} = state, lost = isLost();
  const kinds = [isOver ? "over" : lost ? "lost" : status?.state, state.drives && "drives", status?.success && "solved",
                 view.toolRow !== null && view.toolRow !== undefined && "tool", hands.hello.turns.length && "turns",
                 dashboard.board && "training", dashboard.board?.is_paused && "paused", isReplaying() && "replaying",
                 status?.deployment?.phase && "deployed"];
  document.body.className = kinds.filter(Boolean).join(" ");
  const isSlow = state.drives && isBehind();
  show("lost").hidden = !lost && !isOver && status && (!state.silent_s || status.deployment?.phase === "over") && !isSlow;
  put("lost", isOver ? wasStopped ? "Training has stopped; the same command goes on with it" : dashboard.board ? "Training has ended" : "The session is over"
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
  put("state", isOver ? STATES.over : replay.isOn ? "Replay" : STATES[status.state] ?? status.state);
  const hasSteps = ["recording", "reviewing", "policy", "person"].includes(status.state) && !replay.isOn;
  put("step", status.state === "reviewing" ? `${status.step} steps` : hasSteps && status.horizon ? `step ${status.step} of ${status.horizon}` : "");
  show("bar").firstElementChild.style.width = hasSteps && status.horizon ? `${100 * status.step / status.horizon}%` : "0";
  put("begin", status.state === "reviewing" ? "Save, next" : "Start");
  put("rate", status.rate_hz ? `${status.rate_hz.toFixed(1)} Hz · late ${status.lag_ms.toFixed(1)} ms · page ${tripMs.toFixed(0)} ms` : "");
  put("good", String(status.good));
  put("target", status.target ? `of ${status.target} good episodes · ${status.episodes} saved` : `good · ${status.episodes} saved`);
  show("filled").firstElementChild.style.width = status.target ? `${clamp(100 * status.good / status.target, 0, 100)}%` : "0";
  deployment.draw(state, lost || isOver);
  review.update(status.state === "reviewing" && !isOver ? state.take ?? null : null, status.label.trim, state.drives && !isBehind());
  put("said", status.said);
  put("warning", status.warning);
  show("warning").hidden = !status.warning;
  const {success = null, quality = null, note = ""} = status.label;
  const isPressed = {success: success === true, failure: success === false};
  for (const button of document.querySelectorAll("#label [data-verb]"))
    button.setAttribute("aria-pressed", String(isPressed[button.dataset.verb] ?? quality === Number(button.dataset.value)));
  const mayChoose = state.drives && !lost && !isOver && allowed.includes("seed");
  for (const field of document.querySelectorAll("[data-text=seed] :is(input, button)")) field.disabled = !mayChoose;
  for (const [name, text] of [["note", note ?? ""], ["instruction", status.instruction ?? ""], ["seed", String(status.seed ?? "")]]) {
    const input = document.querySelector(`[data-text=${name}] input`);
    if (document.activeElement !== input && !typed.has(name) && input.value !== text) input.value = text;
  }
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
