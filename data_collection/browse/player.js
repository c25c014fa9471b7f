// An episode, played: in 3-D where its simulator's states were kept, and what its cameras saw.

const BATCH = 32, MOST_BATCHES = 12;  // frames of one question, questions' frames kept

// What one camera saw.
class Footage {
  constructor(canvas, ask) {
    Object.assign(this, {canvas, ask, batches: new Map(), wanted: 0});
  }

  load(episode, camera, moments) {
    for (const batch of this.batches.values()) batch.then(frames => frames.forEach(frame => frame.close()), () => null);
    this.batches = new Map();
    Object.assign(this, {episode, camera, moments});
  }

  async show(moment) {
    this.wanted = moment;
    const {batches} = this, frames = await this.batch(Math.floor(moment / BATCH)).catch(() => []);
    if (moment !== this.wanted || batches !== this.batches) return;
    if (moment % BATCH >= BATCH / 2) this.batch(Math.floor(moment / BATCH) + 1).catch(() => null);
    const frame = frames[moment % BATCH];
    if (!frame) return;
    const {canvas} = this;
    if (canvas.width !== frame.width || canvas.height !== frame.height) Object.assign(canvas, {width: frame.width, height: frame.height});
    canvas.getContext("2d").drawImage(frame, 0, 0);
  }

  // The frames [32 i, 32 (i + 1)), in a promise.
  batch(i) {
    const {batches} = this;
    if (i * BATCH >= this.moments) return Promise.resolve([]);
    if (!batches.has(i)) batches.set(i, this.fetched(i));
    for (const old of batches.keys()) {
      if (batches.size <= MOST_BATCHES) break;
      if (old !== i) batches.delete(old);
    }
    return batches.get(i);
  }

  async fetched(i) {
    const {episode, camera} = this;
    const packed = await this.ask("frames", {episode, camera, from: i * BATCH, to: (i + 1) * BATCH});
    const count = new Uint32Array(packed, 0, 1)[0], sizes = new Uint32Array(packed, 4, count);
    let at = 4 + 4 * count;
    return Promise.all(Array.from(sizes, size => createImageBitmap(new Blob([packed.slice(at, at += size)]))));
  }
}

class Player {
  constructor(root, ask, scenes) {
    Object.assign(this, {root, ask, scenes, episode: null, take: null, world: null, footage: [], opened: 0});
    this.view = new View(root.querySelector("#view"));
    this.timeline = new Timeline(root.querySelector("#timeline"), {onStep: step => this.shows(step)});
    lookAround(this.view);
    for (const name of ["resize"]) addEventListener(name, () => { this.view.needed = true; });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.view.needed = true; });
    this.frame();
  }

  // isObserved: its moments are those that the robot observed.  Raises what cannot be had.
  async open(episode, cameras, isObserved) {
    const turn = ++this.opened, scene = this.view.gl ? this.scenes(episode) : null;
    this.episode = episode.id;
    this.timeline.pause();
    const [packed, found] = await Promise.all([this.ask("take", {episode: episode.id}), scene?.catch(error => ({why: error.message}))])
      .catch(error => {
        if (turn === this.opened) this.episode = null;
        throw error;
      });
    if (turn !== this.opened) return;
    const take = unpackTake(packed);
    const isDrawn = Boolean(found?.packed && take.moments);
    this.say(isDrawn, !isDrawn ? found?.why ?? (scene ? "Where everything was is not known, so there is no picture in 3-D." : "This browser has no WebGL: there is no picture in 3-D.")
      : isObserved ? "Drawn from what the robot observed." : "");
    if (isDrawn && this.world !== found.world) {
      this.view.load(found.packed);
      this.world = found.world;
    }
    this.take = take;
    this.film(episode, cameras);
    this.timeline.load(take);
  }

  say(isDrawn, why) {
    this.root.querySelector("#flat").textContent = why;
    this.root.querySelector("#flat").hidden = !why;
    this.root.querySelector("#space").hidden = !isDrawn;
  }

  film(episode, cameras) {
    const strip = this.root.querySelector("#footage");
    strip.hidden = !cameras.length;
    if (this.footage.length !== cameras.length) {
      this.footage = cameras.map(camera => {
        const figure = document.createElement("figure"), canvas = document.createElement("canvas"), said = document.createElement("figcaption");
        said.textContent = camera;
        figure.append(canvas, said);
        strip.append(figure);
        return new Footage(canvas, this.ask);
      });
    }
    this.footage.forEach((one, i) => one.load(episode.id, cameras[i], episode.length + 1));
  }

  shows(step) {
    const poses = this.take?.moment(step);
    if (poses) Object.assign(this.view, {poses, needed: true});
    for (const one of this.footage) one.show(step);
  }

  close() {
    this.opened++;
    this.episode = this.take = null;
    this.timeline.pause();
  }

  frame() {
    requestAnimationFrame(() => this.frame());
    const {view} = this;
    if (!view.gl || !view.needed || !view.poses || !view.items.length || !view.canvas.clientWidth || !view.isFree()) return;
    view.draw([], colour("--ground"), colour("--line"));
  }
}

// One finger or the mouse turns the picture, two or shift move it, the wheel goes nearer; twice: as at first.
function lookAround(view) {
  const {canvas} = view, fingers = new Map();
  let apart = 0;
  const at = event => [event.clientX, event.clientY];
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const by = sub(at(event), before);
    fingers.set(event.pointerId, at(event));
    if (fingers.size === 2) {
      const now = size(sub(...fingers.values()));
      if (apart) view.zoom(apart / now);
      apart = now;
      view.pan(by[0] / 2, by[1] / 2);
    } else if (event.shiftKey || event.buttons & 6) view.pan(...by);
    else view.orbit(...by);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, event => {
      fingers.delete(event.pointerId);
      apart = 0;
    });
  canvas.addEventListener("dblclick", () => view.goHome());
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    view.zoom(Math.exp(clamp(event.deltaY, -200, 200) * 0.0012));
  }, {passive: false});
}
