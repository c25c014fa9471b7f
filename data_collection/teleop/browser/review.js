// The episode that is being reviewed: played under the picture, and trimmed by the page that drives.

const TOLD_MS = 1000;  // what was said here counts for so long before what the session says does again
const AGAIN_TAKE_MS = 1000;

class Review extends Replay {
  // onTrim(from, to): steps [from, to) are to be kept.
  constructor(root, view, onTrim) {
    super(root, view, () => {}, (from, to) => {
      this.toldUntil = performance.now() + TOLD_MS;
      onTrim(from, to);
    });
    Object.assign(this, {toldUntil: 0, askedAt: -Infinity});
  }

  // number: of the episode that is reviewed, or null.  trim: what the session keeps of it, or null for all.
  update(number, trim, mayTrim) {
    const {timeline} = this, isNew = number !== this.wanted;
    if (number === null) return isNew && this.end();
    if (isNew && this.isOn) this.end();
    if (!this.isOn) return isNew || performance.now() - this.askedAt > AGAIN_TAKE_MS ? this.open(number) : null;
    timeline.isLocked = !mayTrim;
    const [from, to] = trim ?? [0, timeline.take.steps];
    const isOld = timeline.from !== from || timeline.to !== to;
    if (isOld && !timeline.held && performance.now() > this.toldUntil) timeline.setTrim(from, to);
  }

  async open(number) {
    this.askedAt = performance.now();
    const take = await this.fetched(number);
    if (!take || this.isOn) return;
    this.begin(take);
    this.timeline.seek(take.steps);  // where it ended
    draw();
  }
}
