// The episode that is open, and labels of it and of those that are selected.

const TOAST_MS = 9000;
let toasting = null;

async function open(id, isNew) {
  const episode = dataset.byId.get(id);
  if (!episode) return close();
  const isStep = seen.open !== id;
  seen.open = id;
  if (isNew) remember(isStep);
  document.body.classList.add("playing");
  table.mark(id);
  show("title").textContent = `Episode ${episode.number}`;
  drawSteps();
  const told = tellAbout(id);
  try {
    if (player.episode !== id) await player.open(episode, dataset.cameras, dataset.observed.has(episode.segment));
    await told;
  } catch (error) {
    toast(error.message, {isBad: true});
  }
}

function drawSteps() {
  show("before").disabled = !table.beside(seen.open, -1);
  show("after").disabled = !table.beside(seen.open, 1);
}

function close() {
  ofOne.show([]);
  seen.open = null;
  player.close();
  document.body.classList.remove("playing");
  table.mark(null);
}

async function tellAbout(id) {
  ofOne.show([dataset.byId.get(id)]);
  const about = await ask("about", {episode: id});
  if (id !== seen.open) return;
  const episode = dataset.byId.get(id);
  const facts = [
    ["id", about.id], ["operator", about.operator], ["who acted", saidShares(episode)],
    ["steps", `${about.length}${about.rate_hz ? ` at ${about.rate_hz.toFixed(1)} Hz` : ""}`],
    ["return", number(about.return, 3)], ["ended by", about.end_reason], ["seed", about.seed],
    ["instruction", about.instruction], ["origin", about.origin], ["policy", about.policy_hash?.slice(0, 12)],
    ["state", about.writer && `being written by ${about.writer}`],
  ];
  show("facts").replaceChildren(...facts.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(pair));
  show("changes").hidden = !about.history.length;
  show("changes").querySelector("ol").replaceChildren(...about.history.map(said).reverse());
}

function pair([name, value]) {
  const term = document.createElement("dt"), what = document.createElement("dd");
  term.textContent = name;
  what.textContent = value;
  return [term, what];
}

function said({time, by, reason, values}) {
  const item = document.createElement("li"), what = Object.entries(values).map(([name, value]) => `${name}: ${value ?? "unknown"}`).join(", ");
  item.textContent = [what, reason && `“${reason}”`, [by, time.replace("T", " ").replace("Z", " UTC")].filter(Boolean).join(", ")].filter(Boolean).join(" · ");
  return item;
}

function step(by) {
  const next = table.beside(seen.open, by);
  if (next) open(next.id, true);
}

// Labels

const grouped = episodes => episodes.reduce((groups, {id, segment}) => {
  (groups[segment] ??= []).push(Number(id.slice(segment.length + 1)));
  return groups;
}, {});

async function relabel(episodes, values, reason) {
  const [name, value] = Object.entries(values)[0];
  const said = name !== "deleted" ? `${name}: ${value || "none"}` : value === "true" ? "deleted" : "in use again";
  await change(ask("relabel", {episodes: grouped(episodes), values, reason}), rows =>
    rows.length ? toast(`${amount(rows.length)}, ${said}`, {undo}) : toast("That is so already"));
}

const undo = () => change(ask("undo"), rows => toast(`Undone in ${amount(rows.length)}`));

// asked: a promise of the rows that are otherwise now; an Error has found them where it went wrong half way.
async function change(asked, tell) {
  try {
    const rows = await asked;
    changed(rows);
    tell(rows);
  } catch (error) {
    changed(error.found ?? []);
    toast(error.message, {isBad: true, undo: error.found ? undo : null});
  }
  await filter();  // what it selects may have changed
  if (dataset.byId.has(seen.open)) ofOne.show([dataset.byId.get(seen.open)]);
}

// What went wrong stays until something else is said.
function toast(text, {undo = null, isBad = false} = {}) {
  show("toast").firstElementChild.textContent = text;
  show("toast").classList.toggle("bad", isBad);
  show("undo").hidden = !undo;
  show("undo").onclick = () => { show("toast").hidden = true; undo(); };
  show("toast").hidden = false;
  clearTimeout(toasting);
  if (!isBad) toasting = setTimeout(() => { show("toast").hidden = true; }, TOAST_MS);
}
