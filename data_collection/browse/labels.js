// What a person says of episodes: success, quality, notes, in use or not; and why.

const WORST = 1, BEST = 5;  // of the quality that a person says; kept as 0 .. 1
const stored = quality => (quality - WORST) / (BEST - WORST);
const SUCCESS = {true: true, false: false, unknown: null};

class Labels {
  // template: what is shown.  onLabel(episodes, values, reason): of those that are shown; a promise.
  constructor(root, template, onLabel) {
    Object.assign(this, {root, onLabel, shown: []});
    root.append(template.content.cloneNode(true));
    for (const button of root.querySelectorAll("[data-label]"))
      button.addEventListener("click", () => this.say(button.dataset.label, button.dataset.value));
    this.notes = root.querySelector("[data-text=notes]");
    this.notes.addEventListener("change", () => this.say("notes", this.notes.value));
    this.reason = root.querySelector("[data-text=reason]");
    this.drop = root.querySelector("[data-drop]");
    this.drop.addEventListener("click", () => this.say("deleted", String(!this.areDeleted)));
    for (const form of root.querySelectorAll("form")) form.addEventListener("submit", event => {
      event.preventDefault();
      document.activeElement.blur();
    });
  }

  async say(name, value) {
    this.root.ariaBusy = "true";
    try {
      await this.onLabel(this.shown, {[name]: value}, this.reason.value);
    } finally {
      this.root.ariaBusy = "false";
    }
  }

  get areDeleted() {
    return this.shown.length > 0 && this.shown.every(episode => episode.deleted);
  }

  // What all of them have in common is pressed. A note that is being typed is of those that were shown.
  show(episodes) {
    if (String(episodes.map(e => e.id)) !== String(this.shown.map(e => e.id))) this.notes.blur();
    this.shown = episodes;
    const common = name => episodes.length && episodes.every(e => e[name] === episodes[0][name]) ? episodes[0][name] : undefined;
    const success = common("success"), quality = common("quality");
    for (const button of this.root.querySelectorAll("[data-label]")) {
      const {label, value} = button.dataset;
      const isSo = label === "success" ? success === SUCCESS[value]
        : quality === null ? value === "unknown" : quality !== undefined && Math.abs(quality - Number(value)) < 1e-6;
      button.setAttribute("aria-pressed", String(isSo));
    }
    const exact = typeof quality === "number" && !Number.isInteger(quality * (BEST - WORST)) ? number(quality, 3) : "";
    this.root.querySelector(".exact").textContent = exact;
    const notes = common("notes");
    if (document.activeElement !== this.notes) this.notes.value = notes ?? "";
    this.notes.placeholder = notes === undefined && episodes.length ? "they differ; typed here, all get this note" : "what was special";
    this.drop.textContent = this.areDeleted ? "Bring back" : "Delete";
    this.drop.title = this.areDeleted ? "Into use again" : "Out of use; it can be brought back until dataset compact";
  }
}
