// Small pictures of how episodes ended: drawn here from where everything was, or of a recorded frame.

const AT_ONCE = 3, MOST_KEPT = 300;  // questions under way, pictures

class Thumbnails {
  // ask(say, fields): see asking.js.  stage: a canvas that nobody sees, of their size.
  constructor(stage, ask, scenes) {
    Object.assign(this, {ask, scenes, wanted: new Map(), made: new Map(), asking: 0, world: null});
    this.view = new View(stage);
    this.cameras = [];
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.again());
  }

  // Into this canvas, once it is there.
  want(episode, canvas) {
    this.wanted.set(episode.id, {episode, canvas});
    const made = this.made.get(episode.id);
    made ? this.put(canvas, made) : this.pump();
  }

  forget(id) {
    this.wanted.delete(id);
  }

  // All of them, or those that could not be had.
  again(isMissing = false) {
    for (const [id, made] of this.made) if (!made || !isMissing) this.made.delete(id);
    this.pump();
  }

  pump() {
    for (const [id, {episode}] of this.wanted) {
      if (this.asking >= AT_ONCE) return;
      if (this.made.has(id)) continue;
      this.made.set(id, null);
      this.asking++;
      this.make(episode).catch(() => null).then(async picture => {
        this.asking--;
        this.keep(id, picture);
        await new Promise(requestAnimationFrame);  // keys and scrolling come between
        this.pump();
      });
    }
  }

  keep(id, picture) {
    this.made.delete(id);  // the newest comes last
    this.made.set(id, picture);
    const wanted = this.wanted.get(id);
    if (wanted && picture) this.put(wanted.canvas, picture);
    for (const old of this.made.keys()) {
      if (this.made.size <= MOST_KEPT) break;
      if (!this.wanted.has(old)) this.made.delete(old);
    }
  }

  async make(episode) {
    const drawn = await this.drawnOf(episode).catch(() => null);
    if (drawn || !this.cameras.length) return drawn;
    return createImageBitmap(new Blob([await this.ask("picture", {episode: episode.id, camera: this.cameras[0]})]));
  }

  async drawnOf(episode) {
    if (!this.view.gl) return null;
    const [{world, packed}, moment] = await Promise.all([this.scenes(episode), this.ask("moment", {episode: episode.id})]);
    return moment.byteLength ? this.drawn(world, packed, new Float32Array(moment)) : null;
  }

  drawn(world, packed, poses) {
    if (this.world !== world) this.view.load(packed);
    this.world = world;
    this.view.poses = poses;
    this.view.draw([], colour("--thumb"), colour("--line"));
    return createImageBitmap(this.view.canvas);
  }

  // The page's style makes it fit.
  put(canvas, picture) {
    Object.assign(canvas, {width: picture.width, height: picture.height});
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }
}

function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16) / 255);
}
