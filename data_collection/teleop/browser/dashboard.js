// What somebody sees of learning while they stand by: see robot_orl/training/online/overseer.py for `board`.

const PHASES = {playing: "Playing", learning: "Learning", measuring: "Testing", paused: "Paused", stopping: "Stopping",
                ended: "Ended"};
const PARTS = {offline: "recorded before", online: "played by the policy", interventions: "done by a person"};
const HINT = "Drag a handle, or hold a key or a pad, to take over; let go, and the policy acts again.";
const SLIDER_HINT = "Move a joint's slider to take over; a moment later the policy acts again.";
const GAP_MS = 700;  // in which nothing was said: the line is broken there
const SPARK_MS = 12_000;  // of the value that is drawn
const percent = x => `${Math.round(100 * x)}%`, whole = x => Math.round(x).toLocaleString("en");

class Dashboard {
  // root: the section.  onReplay(episode): somebody wants to see that one of `recent`; null: no more.
  constructor(root, onReplay) {
    Object.assign(this, {root, onReplay, board: null, worth: [], shown: null, hovered: null});
    const curve = this.find("#curve svg");
    curve.addEventListener("pointermove", event => this.hover(event));
    curve.addEventListener("pointerleave", () => this.hover(null));
    new ResizeObserver(() => this.board && this.draw()).observe(root);
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  // What the learner says now, and the start seeds of the episodes that can be seen again.
  show(board, replays) {
    Object.assign(this, {board, replays: new Set(replays)});
    this.root.hidden = false;
    this.draw();
  }

  draw() {
    const {board} = this, phase = this.find("#phase");
    tell(phase, PHASES[board.phase] ?? board.phase);
    phase.className = `chip ${board.phase}`;
    tell(this.find("#reached"), `step ${whole(board.env_steps)} of ${whole(board.target)} · ${whole(board.updates)} updates`);
    this.find("#trained i").style.width = percent(clamp(board.env_steps / Math.max(board.target, 1), 0, 1));
    tell(this.find("#news"), board.said || (view.toolRow === null ? SLIDER_HINT : HINT));
    this.drawCurve();
    this.drawRecent();
    this.drawMemory();
  }

  // The learning curve: success with its 95% interval over environment steps.
  drawCurve() {
    const svg = this.find("#curve svg"), {curve, target} = this.board, [left, right, top, bottom] = [36, 6, 6, 18];
    const wide = svg.clientWidth, high = svg.clientHeight, end = Math.max(target, ...curve.map(point => point[0]), 1);
    const x = step => left + (wide - left - right) * step / end, y = share => top + (high - top - bottom) * (1 - share);
    const made = [];
    for (const share of [0, 0.5, 1])
      made.push(drawn("line", {class: "grid", x1: left, x2: wide - right, y1: y(share), y2: y(share)}),
                drawn("text", {x: left - 6, y: y(share) + 3.5, "text-anchor": "end"}, percent(share)));
    made.push(drawn("text", {x: left, y: high - 3}, "0"), drawn("text", {x: wide - right, y: high - 3, "text-anchor": "end"}, whole(end)));
    const low = curve.map(([step, , from]) => `${x(step)},${y(from)}`), up = curve.map(([step, , , to]) => `${x(step)},${y(to)}`);
    made.push(drawn("polygon", {class: "band", points: [...low, ...up.reverse()].join(" ")}),
              drawn("polyline", {class: "line", points: curve.map(([step, share]) => `${x(step)},${y(share)}`).join(" ")}));
    curve.forEach(([step, share, from, to], i) => {
      if (i === this.hovered || curve.length < 40) made.push(drawn("circle", {class: "dot", cx: x(step), cy: y(share), r: i === this.hovered ? 5 : 3.2}));
      if (i === this.hovered || curve.length === 1) made.push(drawn("line", {class: "line", x1: x(step), x2: x(step), y1: y(from), y2: y(to)}));
    });
    svg.replaceChildren(...made);
    this.places = curve.map(([step]) => x(step));
    const [step, share, from, to] = curve[this.hovered] ?? curve.at(-1) ?? [];
    const text = step === undefined ? "none yet" : `${percent(share)} (${percent(from)} to ${percent(to)}) at step ${whole(step)}`;
    tell(this.find("#curve .says"), text);
    svg.setAttribute("aria-label", `Learning curve, ${text}`);
  }

  hover(event) {
    if (!this.places?.length) return;
    const at = event && event.clientX - this.find("#curve svg").getBoundingClientRect().x;
    this.hovered = event && this.places.reduce((best, place, i) => Math.abs(place - at) < Math.abs(this.places[best] - at) ? i : best, 0);
    this.drawCurve();
  }

  // The critics' word on what is seen now; null: nobody plays.
  value(value) {
    const now = performance.now();
    if (value !== null) this.worth.push([now, value]);
    tell(this.find("#worth .says"), value === null ? "–" : value.toFixed(2));
    drawSpark(this.find("#worth svg"), this.worth, now);
  }

  // One column an episode: below whether it succeeded, above the share of its steps in which a person acted.
  drawRecent() {
    const {recent} = this.board, bars = this.find(".bars");
    while (bars.children.length > recent.length) bars.lastChild.remove();
    while (bars.children.length < recent.length) {
      const button = document.createElement("button"), share = document.createElement("b");
      share.append(document.createElement("span"));
      button.append(share, document.createElement("i"));
      button.addEventListener("click", () => this.replay(Number(button.dataset.seed)));
      bars.append(button);
    }
    recent.forEach((episode, i) => {
      const button = bars.children[i], {seed, number, success, share, interventions} = episode;
      button.dataset.seed = seed;
      button.className = success ? "won" : "";
      button.disabled = !this.replays.has(seed);
      button.setAttribute("aria-pressed", String(seed === this.shown));
      button.ariaLabel = button.title = `Episode ${number}: ${success ? "success" : "failure"}, return ${episode.return.toFixed(0)}, ${episode.steps} steps, `
        + `taken over ${interventions} times, ${percent(share)} of its steps`;
      button.firstChild.style.height = percent(0.78 * share);
      tell(button.firstChild.firstChild, interventions ? String(interventions) : "");
    });
    const count = recent.length, mean = what => recent.reduce((sum, one) => sum + Number(what(one)), 0) / count;
    tell(this.find("#recent .says"), count ? `${percent(mean(one => one.success))} success · ${mean(one => one.interventions).toFixed(1)} takeovers each` : "none yet");
    tell(this.find("#recent .hint"), this.replays.size ? "Bars: the share that a person did. Select an episode to see it again." : "");
  }

  replay(seed) {
    this.shown = this.shown === seed ? null : seed;
    this.drawRecent();
    this.onReplay(this.board.recent.find(one => one.seed === this.shown) ?? null);
  }

  // Nothing more will be said; how it went stays. Whether somebody has stopped it.
  ended() {
    const wasStopped = this.board?.phase === "stopping";
    if (this.board) this.show({...this.board, phase: "ended", said: " ", is_paused: false}, []);
    return wasStopped;
  }

  replayed() {
    this.shown = null;
    if (this.board) this.drawRecent();
  }

  drawMemory() {
    const {replay, batch} = this.board, all = Math.max(Object.values(replay).reduce((sum, one) => sum + one, 0), 1);
    const stack = this.find(".stack"), list = this.find("dl");
    stack.replaceChildren(...Object.keys(PARTS).filter(name => replay[name]).map(name => {
      const part = document.createElement("i");
      part.className = name;
      part.style.flex = `${replay[name] / all} 0 2px`;
      return part;
    }));
    list.replaceChildren(...Object.entries(PARTS).flatMap(([name, says]) => {
      const [term, count, share] = ["dt", "dd", "dd"].map(tag => document.createElement(tag));
      term.className = name;
      term.textContent = says;
      count.textContent = whole(replay[name] ?? 0);
      share.textContent = `${percent(batch[name] ?? 0)} of a batch`;
      return [term, count, share];
    }));
    tell(this.find("#memory .says"), `${whole(all)} steps`);
  }
}

// seen: [ms, value] in their order, of which those are kept that are drawn.
function drawSpark(svg, seen, now) {
  while (seen.length && seen[0][0] < now - SPARK_MS) seen.shift();
  const values = seen.map(([, one]) => one), low = Math.min(...values), span = Math.max(Math.max(...values) - low, 1e-3);
  const wide = svg.clientWidth, high = svg.clientHeight;
  const isGap = i => i === 0 || seen[i][0] - seen[i - 1][0] > GAP_MS;
  const points = seen.map(([at, one], i) => `${isGap(i) ? "M" : "L"} ${wide * (1 - (now - at) / SPARK_MS)} ${high - 4 - (high - 8) * (one - low) / span}`);
  svg.replaceChildren(drawn("line", {class: "grid", x1: 0, x2: wide, y1: high - 0.5, y2: high - 0.5}),
                      drawn("path", {class: "line", d: points.join(" ")}));
}

function drawn(kind, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
