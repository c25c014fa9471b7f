// Curves over the steps of an episode: who acted, reward, a critic's value, actions, and what of it is kept.

const WHO = {0: "script", 1: "human", 2: "policy", 3: "intervention", 255: "unknown"};
const GUTTER = 58, RIM = 10, GAP = 8;  // pixels: left of the curves, right of them, between two lanes
const LANES = {who: 10, reward: 30, value: 30, actions: 62, keep: 24};  // how high each is [pixels]
const HUES = 8;  // colours of actions, --series-0 ..

class Curves {
  // canTrim: there is a lane with handles at the ends of what is kept.
  constructor(canvas, canTrim) {
    Object.assign(this, {canvas, canTrim, take: null, plot: document.createElement("canvas")});  // plot: what does not move
  }

  get lanes() {
    return Object.keys(LANES).filter(name => name === "value" ? this.take?.value : name === "keep" ? this.canTrim : true);
  }

  get height() {
    return this.lanes.reduce((sum, name) => sum + LANES[name] + GAP, 0);
  }

  x(step) {
    return GUTTER + step / this.take.steps * Math.max(this.canvas.clientWidth - GUTTER - RIM, 1);
  }

  // Draws what changes only with the episode, the size and the colours.
  redraw() {
    const {take, canvas, plot} = this, ratio = Math.min(devicePixelRatio, 2), width = canvas.clientWidth;
    if (!take || !width) return;
    for (const one of [canvas, plot]) Object.assign(one, {width: Math.round(width * ratio), height: Math.round(this.height * ratio)});
    const style = getComputedStyle(canvas), colour = name => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(["ink", "soft", "edge", "card", "tint", "accent"].map(name => [name, colour(name)]));
    const pen = plot.getContext("2d"), right = width - RIM;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = `11px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    let top = 0;
    for (const name of this.lanes) {
      const high = LANES[name];
      pen.fillStyle = colour("soft");
      pen.fillText(name, 0, top + high / 2);
      if (name !== "who" && name !== "keep") {
        pen.fillStyle = colour("tint");
        pen.fillRect(GUTTER, top, right - GUTTER, high);
      }
      if (name === "who") this.drawActors(pen, top, high, colour);
      if (name === "reward" || name === "value") this.trace(pen, take[name], 0, 1, ...range(take[name]), top, high, colour(name === "value" ? "accent" : "ink"));
      if (name === "actions") {
        pen.fillStyle = colour("edge");
        pen.fillRect(GUTTER, top + high / 2, right - GUTTER, 1);
        const count = take.signals.length;
        for (let i = 0; i < count; i++) this.trace(pen, take.action, i, count, -1, 1, top, high, colour(`series-${i % HUES}`));
      }
      top += high + GAP;
    }
  }

  drawActors(pen, top, high, colour) {
    const {actor, steps} = this.take;
    for (let i = 0, first = 0; i < steps; i++) {
      if (i + 1 < steps && actor[i + 1] === actor[first]) continue;
      pen.fillStyle = colour(`who-${WHO[actor[first]] ?? WHO[255]}`);
      pen.fillRect(this.x(first), top, this.x(i + 1) - this.x(first), high);
      first = i + 1;
    }
  }

  // Every count-th of the values from the first on, as stairs: a step's value holds until the next. Where a
  // pixel has several steps, from the least of them to the greatest.
  trace(pen, values, first, count, low, high, top, tall, colour) {
    const {steps} = this.take, y = value => top + tall - 2 - (clamp(value, low, high) - low) / (high - low || 1) * (tall - 4);
    const every = Math.max(1, Math.floor(steps / Math.max(this.canvas.clientWidth, 1)));
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    let isDown = false;
    for (let i = 0; i < steps; i += every) {
      let least = Infinity, most = -Infinity;
      for (let k = i; k < Math.min(i + every, steps); k++) {
        const value = values[first + k * count];
        if (Number.isFinite(value)) [least, most] = [Math.min(least, value), Math.max(most, value)];
      }
      const isKnown = least <= most;
      if (isKnown) {
        isDown ? pen.lineTo(this.x(i), y(least)) : pen.moveTo(this.x(i), y(least));
        if (most > least) pen.lineTo(this.x(i), y(most));
        pen.lineTo(this.x(Math.min(i + every, steps)), y(most));
      }
      isDown = isKnown;
    }
    pen.stroke();
  }

  // The curves, and what moves over them.
  paint(step, from, to) {
    const {take, canvas, colours} = this;
    if (!take || !colours || !canvas.width) return;
    const pen = canvas.getContext("2d"), tall = this.height - GAP;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(this.plot, 0, 0);
    pen.scale(canvas.width / canvas.clientWidth, canvas.width / canvas.clientWidth);
    if (this.canTrim) this.paintKept(pen, this.x(from), this.x(to), tall);
    const x = this.x(step), end = this.canTrim ? tall - LANES.keep - GAP / 2 : tall;
    pen.fillStyle = colours.ink;
    pen.fillRect(x - 1, 0, 2, end);
    pen.beginPath();
    pen.arc(x, 5, 5, 0, 2 * Math.PI);
    pen.fill();
  }

  // from, to: pixels.
  paintKept(pen, from, to, tall) {
    const {take, colours} = this;
    pen.fillStyle = colours.card;
    pen.globalAlpha = 0.72;
    pen.fillRect(GUTTER - 1, 0, from - GUTTER + 1, tall);
    pen.fillRect(to, 0, this.x(take.steps) - to + 2, tall);
    pen.globalAlpha = 1;
    const middle = tall - LANES.keep / 2;
    for (const [left, right, name] of [[GUTTER, this.x(take.steps), "edge"], [from, to, "accent"]]) {
      pen.fillStyle = colours[name];
      pen.fillRect(left, middle - 2, right - left, 4);
    }
    for (const x of [from, to]) {
      pen.beginPath();
      pen.roundRect(x - 6, middle - 11, 12, 22, 5);
      pen.fill();
      pen.fillStyle = colours.card;
      pen.fillRect(x - 2, middle - 5, 1, 10);
      pen.fillRect(x + 1, middle - 5, 1, 10);
      pen.fillStyle = colours.accent;
    }
  }
}

// Least and greatest, apart.
function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low < high ? [low, high] : Number.isFinite(low) ? [low - 1, high + 1] : [-1, 0];
}
