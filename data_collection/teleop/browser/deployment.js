// What somebody sees of a deployed policy beside which they stand by: see robot_orl/commands/attending.py for what is told.

const PHASES_OF_RUN = {waiting: "Waiting for you", running: "Policy acts", over: "Stopped"};

class Deployment {
  constructor(root) {
    Object.assign(this, {root, told: null, deemed: [], heard: 0});
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  // Whether a robot is deployed; STOP is for every page, whoever drives and however old its picture is.
  draw({status, allowed}, isOut) {
    const told = status?.deployment ?? {};
    this.told = told.phase ? told : null;
    this.root.hidden = !this.told;
    if (!this.told) return;
    this.find("#halt").disabled = isOut || !allowed.includes("halt");
    const acts = {person: "You act", waiting: told.phase === "running" ? "Going to the start" : null}[status.state];
    put("state", told.phase === "over" ? PHASES_OF_RUN.over : acts ?? PHASES_OF_RUN[told.phase]);
    put("rate", told.rate_hz ? `${told.rate_hz.toFixed(1)} Hz · page ${tripMs.toFixed(0)} ms` : "");
    put("left", told.phase === "running" ? `${told.left_s.toFixed(0)} s left` : "");
    put("robot", told.robot);
    put("stopped", told.phase === "over" ? `The robot was stopped: ${told.why}` : "");
    put("alarm", told.phase === "running" ? told.alarm : "");
    put("takeovers", String(told.interventions ?? 0));
    put("begun", String(told.episodes ?? 0));
    this.find("#deemed").hidden = told.value === null || told.value === undefined;
    if (!this.find("#deemed").hidden) this.drawValue(told);
  }

  drawValue({value, disagreement}) {
    const now = performance.now();
    if (now - this.heard < SEND_MS) return;
    this.heard = now;
    this.deemed.push([now, value]);
    put("worthNow", `${value.toFixed(2)} ± ${disagreement.toFixed(2)}`);
    drawSpark(this.find("#deemed svg"), this.deemed, now);
  }
}
