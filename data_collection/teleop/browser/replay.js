// An episode that was played before, in the place of the live picture until somebody has seen enough of it.

class Replay {
  // root: what is shown beside the picture then.  view: the picture.  onEnd(): it is over.  onTrim: see Timeline.
  constructor(root, view, onEnd, onTrim = null) {
    Object.assign(this, {root, view, onEnd, isOn: false, live: null, wanted: null});
    this.timeline = new Timeline(root.querySelector("div"), {onStep: step => this.step(step), onTrim});
    root.querySelector("p button")?.addEventListener("click", () => this.end());
  }

  // number: of the episode.  values: a critic's, before each of its steps, or null.  title: what it is called.
  async start(number, values, title) {
    const take = await this.fetched(number);
    if (this.wanted !== number) return;  // another one, or none, meanwhile
    if (!take) return this.end();
    if (values?.length === take.steps) take.value = Float32Array.from(values);
    this.root.querySelector("b").textContent = title;
    this.begin(take);
    this.timeline.play();
  }

  // null: it cannot be had, or another one is wanted by now.
  async fetched(number) {
    this.wanted = number;
    const answer = await fetch(`/replay?${new URLSearchParams({token, number})}`).catch(() => null);
    const packed = answer?.ok ? await answer.arrayBuffer().catch(() => null) : null;
    return packed && this.wanted === number ? unpackTake(packed) : null;
  }

  begin(take) {
    Object.assign(this, {isOn: true, live: this.live ?? this.view.poses});
    this.root.hidden = false;
    this.view.needed = true;  // it may have less room
    this.timeline.load(take);
  }

  step(step) {
    const moment = this.timeline.take.moment(step);
    if (!moment) return;
    this.view.poses = moment;
    this.view.needed = true;
  }

  // Where everything is now: shown at once, or once the replay is over.
  moved(poses) {
    if (this.isOn) this.live = poses;
    else Object.assign(this.view, {poses, needed: true});
  }

  end() {
    this.wanted = null;
    this.timeline.pause();
    this.root.hidden = true;
    if (this.isOn && this.live) Object.assign(this.view, {poses: this.live, needed: true});
    Object.assign(this, {isOn: false, live: null});
    this.onEnd();
  }
}
