// The page: what is listed, in which order, and which episode is open. All of it stands in the address.

const SOON_MS = 250, TOAST_MS = 9000;
const show = id => document.getElementById(id);
const dataset = {episodes: [], byId: new Map(), worlds: {}, cameras: [], matching: null, task: ""};
const seen = {where: "", sort: "number", isDown: false, deleted: false, open: null};  // what stands in the address
const scenes = new Map();  // by world, promises
let isLost = true, toasting = null, filtering = null;

const asking = new Asking({onNews: heard, onOpen: opened, onLost: lost});
const ask = (say, fields) => asking.ask(say, fields);
const thumbnails = new Thumbnails(show("stamp"), ask, sceneOf);
const table = new Table(show("list"), thumbnails, {onOpen: id => open(id, true), onSort: sortBy, onPick: picked});
const player = new Player(show("player"), ask, sceneOf);
const ofOne = new Labels(show("labels"), show("labelling"), (values, reason) => relabel([dataset.byId.get(seen.open)], values, reason));
const ofMany = new Labels(show("many"), show("labelling"), (values, reason) => relabel(pickedOnes(), values, reason));

// A promise of {world, packed}; null: its states were not kept.
function sceneOf(episode) {
  const world = dataset.worlds[episode.segment];
  if (world === undefined) return null;
  if (!scenes.has(world)) {
    const asked = ask("scene", {episode: episode.id}).then(packed => ({world, packed}));
    asked.catch(error => { if (isLost) scenes.delete(world); });
    scenes.set(world, asked);
  }
  return scenes.get(world);
}

// The dataset

async function opened() {
  isLost = false;
  scenes.clear();
  show("lost").hidden = true;
  await refresh();
}

function lost() {
  isLost = true;
  show("lost").hidden = false;
}

async function refresh() {
  const before = dataset.episodes.length, isFirst = !dataset.task;
  show("refresh").disabled = true;
  try {
    take(await ask("list"));
  } catch (error) {
    return problem(error.message);
  } finally {
    show("refresh").disabled = false;
  }
  if (isFirst) begin();
  else if (dataset.episodes.length !== before) toast(`${dataset.episodes.length - before} new episodes`);
  await filter();
  ask("shares").then(shares => {
    for (const [id, found] of Object.entries(shares)) if (dataset.byId.has(id)) dataset.byId.get(id).shares = found;
    list();
  }, () => null);
  if (seen.open) await open(seen.open, false);
}

function take({path, task, where, cameras, worlds, writers, columns, rows}) {
  const known = dataset.byId;
  Object.assign(dataset, {path, task, where, cameras, worlds, columns});
  dataset.episodes = rows.map((row, i) => ({...episodeOf(row), number: i, shares: known.get(row[0])?.shares}));
  dataset.byId = new Map(dataset.episodes.map(episode => [episode.id, episode]));
  thumbnails.cameras = cameras;
  show("task").textContent = task;
  show("path").textContent = path;
  document.title = `${task} · ${path}`;
  const writing = Object.values(writers);
  show("writing").textContent = writing.length ? `being written by ${writing.join(", ")}` : "";
}

function episodeOf(row) {
  const episode = Object.fromEntries(dataset.columns.map((name, i) => [name, row[i]]));
  return {...episode, segment: episode.id.slice(0, episode.id.lastIndexOf(":"))};
}

function heard(message) {
  if (message.say !== "changed") return;
  changed(message.rows);
  list();
}

function changed(rows) {
  for (const row of rows) {
    const episode = dataset.byId.get(row[0]);
    if (episode) Object.assign(episode, episodeOf(row));
  }
  if (rows.some(row => row[0] === seen.open)) tellAbout(seen.open);
}

// The list

async function filter() {
  const where = seen.where.trim();
  show("clear").hidden = !where;
  try {
    dataset.matching = where ? new Set((await ask("match", {where})).map(i => dataset.episodes[i].id)) : null;
    problem("");
  } catch (error) {
    problem(error.message);
  }
  list();
}

function list() {
  const {episodes, matching} = dataset;
  const kind = episodes.filter(episode => episode.deleted === seen.deleted);
  const found = matching ? kind.filter(episode => matching.has(episode.id)) : kind;
  show("count").textContent = found.length === kind.length ? `${amount(kind.length)}` : `${found.length.toLocaleString("en")} of ${amount(kind.length)}`;
  const deleted = episodes.length - episodes.filter(episode => !episode.deleted).length;
  show("deleted").textContent = deleted ? `Deleted (${deleted.toLocaleString("en")})` : "Deleted";
  show("none").hidden = found.length > 0;
  show("none").textContent = !episodes.length ? "No episode is committed yet. Refresh once one is."
    : seen.deleted && !kind.length ? "No episode is deleted." : kind.length ? "The filter selects no episode." : "Every episode is deleted.";
  table.sorted(seen.sort, seen.isDown);
  table.show(inOrder(found, seen.sort, seen.isDown));
}

const amount = count => `${count.toLocaleString("en")} episode${count === 1 ? "" : "s"}`;

function sortBy(name) {
  const isSame = seen.sort === name;
  Object.assign(seen, {sort: name, isDown: isSame ? !seen.isDown : !["number", "operator", "end", "notes", "seed"].includes(name)});
  drawControls();
  remember();
  list();
}

function problem(text) {
  show("problem").textContent = text;
  show("problem").hidden = !text;
  show("where").setAttribute("aria-invalid", String(Boolean(text)));
}

function pickedOnes() {
  return [...table.picked].map(id => dataset.byId.get(id)).filter(Boolean);
}

function picked() {
  const ones = pickedOnes();
  show("chosen").hidden = !ones.length;
  show("how-many").textContent = `${amount(ones.length)} selected`;
  ofMany.show(ones);
}

// One episode

async function open(id, isNew) {
  const episode = dataset.byId.get(id);
  if (!episode) return close();
  const isOther = seen.open !== id || !player.take;
  seen.open = id;
  if (isNew) remember(true);
  document.body.classList.add("playing");
  table.mark(id);
  show("title").textContent = `Episode ${episode.number}`;
  show("before").disabled = !table.beside(id, -1);
  show("after").disabled = !table.beside(id, 1);
  const told = tellAbout(id);
  try {
    if (isOther) await player.open(episode, dataset.cameras);
    await told;
  } catch (error) {
    problem(error.message);
  }
}

function close() {
  seen.open = null;
  player.close();
  player.take = null;
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

async function relabel(episodes, values, reason, isUndo = false) {
  const [name, value] = Object.entries(values)[0];
  const before = new Map();  // how to undo it: by the value that they had
  for (const episode of episodes) {
    const was = typed(name, episode[name]);
    if (was !== value) before.set(was, [...(before.get(was) ?? []), episode]);
  }
  try {
    const rows = await ask("relabel", {episodes: grouped(episodes), values, reason});
    changed(rows);
    problem("");
    if (!rows.length) toast("That is so already");
    else if (isUndo) toast(`Undone in ${amount(rows.length)}`);
    else toast(name === "deleted" ? `${amount(rows.length)} ${value === "true" ? "deleted" : "in use again"}` : `${name}: ${value || "none"}, in ${amount(rows.length)}`,
               () => before.forEach((ones, was) => relabel(ones, {[name]: was}, "undone", true)));
  } catch (error) {
    problem(error.message);
  }
  await filter();  // what it selects may have changed
  if (seen.open && dataset.byId.has(seen.open)) ofOne.show([dataset.byId.get(seen.open)]);
}

function toast(text, undo = null) {
  show("toast").firstElementChild.textContent = text;
  show("undo").hidden = !undo;
  show("undo").onclick = () => { show("toast").hidden = true; undo(); };
  show("toast").hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { show("toast").hidden = true; }, TOAST_MS);
}

// The address

function remember(isStep = false) {
  const said = new URLSearchParams();
  if (seen.where) said.set("where", seen.where);
  if (seen.sort !== "number" || seen.isDown) said.set("sort", (seen.isDown ? "-" : "") + seen.sort);
  if (seen.deleted) said.set("deleted", "true");
  if (seen.open) said.set("open", seen.open);
  history[isStep ? "pushState" : "replaceState"](null, "", `${location.pathname}${location.search}#${said}`);
}

function recall() {
  const said = new URLSearchParams(location.hash.slice(1)), sort = said.get("sort") ?? "number";
  const name = sort.replace(/^-/, "");
  Object.assign(seen, {
    where: said.get("where") ?? (location.hash ? "" : dataset.where), deleted: said.get("deleted") === "true", open: said.get("open"),
    sort: COLUMNS.some(column => column.name === name) ? name : "number", isDown: sort.startsWith("-"),
  });
  drawControls();
}

function drawControls() {
  if (document.activeElement !== show("where")) show("where").value = seen.where;
  for (const [id, is] of [["used", !seen.deleted], ["deleted", seen.deleted]]) show(id).setAttribute("aria-pressed", String(is));
  show("order").value = seen.sort;
  show("turn").textContent = seen.isDown ? "↓" : "↑";
}

function begin() {
  recall();
  addEventListener("popstate", async () => {
    recall();
    await filter();
    seen.open ? open(seen.open, false) : close();
  });
}

// Keys and buttons

function keyDown(event) {
  const {key} = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=checkbox]), select")) {
    if (key === "Escape") event.target.blur();
    return;
  }
  if (event.target.matches("button, summary") && ["Enter", " "].includes(key)) return;
  if (key === "/") show("where").focus();
  else if (key === "Escape" && seen.open) leave();
  else if (key === "ArrowDown" || key === "ArrowUp") step(key === "ArrowDown" ? 1 : -1);
  else if (!seen.open) return;
  else if (key === "y" || key === "n") ofOne.say("success", String(key === "y"));
  else if ("12345".includes(key)) ofOne.say("quality", String(stored(Number(key))));
  else if (key === "N") ofOne.notes.focus();
  else if (key === "Delete") ofOne.say("deleted", String(!ofOne.areDeleted));
  else if (key === "x") table.pick(seen.open, !table.picked.has(seen.open), false);
  else if (!player.timeline.key(key, event.shiftKey)) return;
  event.preventDefault();
}

function leave() {
  close();
  remember(true);
}

function prepare() {
  addEventListener("keydown", keyDown);
  show("where").addEventListener("input", () => {
    clearTimeout(filtering);
    filtering = setTimeout(() => search(show("where").value), SOON_MS);
  });
  show("filter").addEventListener("submit", event => {
    event.preventDefault();
    clearTimeout(filtering);
    search(show("where").value);
  });
  show("clear").addEventListener("click", () => fill(""));
  for (const chip of document.querySelectorAll("[data-query]")) chip.addEventListener("click", () => fill(chip.dataset.query));
  for (const [id, deleted] of [["used", false], ["deleted", true]])
    show(id).addEventListener("click", () => {
      seen.deleted = deleted;
      drawControls();
      remember();
      list();
    });
  for (const {name, head} of COLUMNS) show("order").append(new Option(head, name));
  show("order").addEventListener("change", () => sortBy(show("order").value));
  show("turn").addEventListener("click", () => sortBy(seen.sort));
  show("refresh").addEventListener("click", refresh);
  show("back").addEventListener("click", leave);
  show("before").addEventListener("click", () => step(-1));
  show("after").addEventListener("click", () => step(1));
  show("unpick").addEventListener("click", () => {
    table.picked.clear();
    table.pickedNew();
  });
  addEventListener("click", event => { if (event.detail) event.target.closest?.("button")?.blur(); });  // keys are for the episode
}

function search(where) {
  seen.where = where;
  remember();
  filter();
}

function fill(where) {
  show("where").value = where;
  search(where);
}

prepare();
