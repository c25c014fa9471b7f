// An episode as curves over time: who acted, reward, a critic's value, actions; to play, scrub through and trim.
// It draws nothing in 3-D: whoever shows the episode is told which moment to show. See takes.py.

const SPEEDS = [1, 2, 4, 0.5];

// {steps, signals, hz, success, title, reward, action, value or null, actor, moment(step)}; step `steps` is the end.
function unpackTake(packed) {
  const length = new Uint32Array(packed, 0, 1)[0];
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, 4, length)));
  const {steps, signals, moments, every, size: width} = header;
  let at = 4 + length;
  const floats = count => {
    const found = new Float32Array(packed, at, count);
    at += 4 * count;
    return found;
  };
  const drawn = floats(moments * width), reward = floats(steps), action = floats(steps * signals.length);
  const value = header.hasValue ? floats(steps) : null, actor = new Uint8Array(packed, at, steps);
  const row = step => step >= steps ? moments - 1 : Math.floor(step / every);
  const moment = step => moments ? drawn.subarray(row(step) * width, (row(step) + 1) * width) : null;
  return {...header, reward, action, value, actor, moment};
}

class Timeline {
  // onStep(step): 0 .. steps, to be shown.  onTrim(from, to): steps [from, to) are to be kept; null: no handles.
  constructor(root, {onStep, onTrim = null}) {
    Object.assign(this, {root, onStep, onTrim, take: null, step: 0, from: 0, to: 0, speed: 1});
    this.isLocked = false;  // nothing can be trimmed now
    this.held = null;  // what a pointer drags: "step", "from", "to"
    this.playing = null;
    root.classList.add("timeline");
    root.replaceChildren(...this.parts());
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(this.canvas);
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.recoloured = () => this.redraw();
    this.theme.addEventListener("change", this.recoloured);
    this.tell();
  }

  parts() {
    const made = (tag, name, text = "") => Object.assign(document.createElement(tag), {className: name, textContent: text});
    const bar = made("div", "bar");
    this.button = Object.assign(made("button", "play small"), {type: "button"});
    this.button.addEventListener("click", () => this.toggle());
    this.pace = Object.assign(made("button", "pace small"), {type: "button", title: "How fast it is played"});
    this.pace.addEventListener("click", () => this.faster());
    this.said = made("span", "said");
    this.whole = Object.assign(made("button", "whole small", "Keep all"), {type: "button", hidden: true});
    this.whole.addEventListener("click", () => this.trim(0, this.take.steps));
    bar.append(this.button, this.pace, this.said, this.whole);
    this.canvas = made("canvas", "curves");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "slider");
    this.canvas.setAttribute("aria-label", "Step of the episode");
    for (const [name, does] of [["pointerdown", "pressed"], ["pointermove", "dragged"], ["pointerup", "released"], ["pointercancel", "released"]])
      this.canvas.addEventListener(name, event => this[does](event));
    this.canvas.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.key(event.key, event.shiftKey)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.curves = new Curves(this.canvas, this.onTrim !== null);
    this.legend = made("div", "legend");
    return [bar, this.canvas, this.legend];
  }

  load(take) {
    this.pause();
    Object.assign(this, {take, from: 0, to: take.steps, step: 0});
    this.curves.take = take;
    this.canvas.style.height = `${this.curves.height}px`;
    const entry = (name, colour) => {
      const item = document.createElement("span"), swatch = document.createElement("i"), number = document.createElement("b");
      swatch.style.background = `var(--${colour})`;
      item.append(swatch, name, number);
      return item;
    };
    this.values = take.signals.map((name, i) => entry(name, `series-${i % HUES}`));
    const actors = [...new Set(take.actor)].map(who => entry(WHO[who] ?? WHO[255], `who-${WHO[who] ?? WHO[255]}`));
    this.legend.replaceChildren(...actors, ...this.values);
    this.redraw();
    this.seek(0);
  }

  dispose() {
    this.pause();
    this.resized.disconnect();
    this.theme.removeEventListener("change", this.recoloured);
    this.root.replaceChildren();
  }

  // Playing

  play() {
    if (!this.take) return;
    if (this.step >= this.to || this.step < this.from) this.seek(this.from);
    let before = performance.now(), exact = this.step;
    const next = now => {
      exact += Math.max(now - before, 0) / 1000 * this.take.hz * this.speed;
      before = now;
      this.playing = requestAnimationFrame(next);
      if (Math.floor(exact) !== this.step) this.show(Math.min(Math.floor(exact), this.to));
      if (this.step >= this.to) this.pause();
    };
    cancelAnimationFrame(this.playing);
    this.playing = requestAnimationFrame(next);
    this.tell();
  }

  pause() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.tell();
  }

  toggle() {
    this.playing === null ? this.play() : this.pause();
  }

  faster() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    this.tell();
  }

  seek(step) {
    this.pause();
    this.show(step);
  }

  show(step) {
    if (!this.take) return;
    this.step = Math.round(clamp(step, 0, this.take.steps));
    this.paint();
    this.tell();
    this.onStep(this.step);
  }

  // Of the steps [from, to) that are kept; whoever shows the episode hears of it.
  trim(from, to) {
    this.setTrim(from, to);
    this.onTrim?.(this.from, this.to);
  }

  setTrim(from, to) {
    if (!this.take) return;
    this.from = Math.round(clamp(from, 0, this.take.steps - 1));
    this.to = Math.round(clamp(to, this.from + 1, this.take.steps));
    this.paint();
    this.tell();
  }

  redraw() {
    this.curves.redraw();
    this.paint();
  }

  paint() {
    this.curves.paint(this.step, this.from, this.to);
  }

  // A key, as the browser names it; whether it means something here.
  key(name, isFar = false) {
    const {step, take} = this, by = isFar ? 10 : 1;
    const to = {ArrowLeft: step - by, ArrowRight: step + by, PageUp: step - 25, PageDown: step + 25, Home: this.from, End: this.to}[name];
    const canTrim = this.onTrim && !this.isLocked;
    if (!take) return false;
    if (to !== undefined) this.seek(to);
    else if (name === " ") this.toggle();
    else if (name === "[" && canTrim) this.trim(step, Math.max(this.to, step + 1));
    else if (name === "]" && canTrim) this.trim(Math.min(this.from, step - 1), step);
    else return false;
    return true;
  }

  // Pointers: on the lane `keep` they move its ends, elsewhere the moment that is shown.

  pressed(event) {
    if (!this.take || event.button !== 0) return;
    const box = this.canvas.getBoundingClientRect(), [x, y] = [event.clientX - box.x, event.clientY - box.y];
    const [from, to] = [this.curves.x(this.from), this.curves.x(this.to)], near = x < (from + to) / 2 ? "from" : "to";
    const away = Math.abs(x - (near === "from" ? from : to)), reach = event.pointerType === "touch" ? 36 : 20;
    this.held = this.onTrim && !this.isLocked && y > this.curves.height - LANES.keep - 1.5 * GAP && away < reach ? near : "step";
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({preventScroll: true});
    this.dragged(event);
  }

  dragged(event) {
    if (!this.held) return;
    const box = this.canvas.getBoundingClientRect(), {steps} = this.take;
    const step = (event.clientX - box.x - GUTTER) / Math.max(box.width - GUTTER - RIM, 1) * steps;
    if (this.held === "from") this.setTrim(Math.min(step, this.to - 1), this.to);
    if (this.held === "to") this.setTrim(this.from, Math.max(step, this.from + 1));
    this.seek(this.held === "step" ? step : this[this.held]);
  }

  released() {
    if (this.held === "from" || this.held === "to") this.trim(this.from, this.to);
    this.held = null;
  }

  // What is said in words

  tell() {
    const {take, step, from, to} = this;
    this.button.textContent = this.playing === null ? "Play" : "Pause";
    this.button.setAttribute("aria-pressed", String(this.playing !== null));
    this.pace.textContent = `${this.speed}×`;
    this.button.disabled = !take;
    if (!take) return;
    const isCut = from > 0 || to < take.steps, at = Math.min(step, take.steps - 1), reward = take.reward[at];
    const paid = Number.isFinite(reward) ? ` · reward ${tidy(reward)}` : "", worth = take.value ? ` · value ${tidy(take.value[at])}` : "";
    this.said.textContent = `${(step / take.hz).toFixed(2)} s · step ${step} of ${take.steps}${paid}${worth}`
      + (isCut ? ` · keeps ${to - from}, from ${from} to ${to}` : "");
    this.whole.hidden = !isCut || !this.onTrim || this.isLocked;
    this.values.forEach((item, i) => { item.lastChild.textContent = tidy(take.action[at * take.signals.length + i]); });
    const now = {valuemin: 0, valuemax: take.steps, valuenow: step, valuetext: this.said.textContent};
    for (const [name, value] of Object.entries(now)) this.canvas.setAttribute(`aria-${name}`, value);
  }
}

const tidy = value => Number.isFinite(value) ? String(Number(value.toFixed(2))) : "–";
