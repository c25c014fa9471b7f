// The page: what is listed, in which order, and which episode is open. All of it stands in the address.

const SOON_MS = 250;  // after the last letter of a query
const show = id => document.getElementById(id);
const dataset = {episodes: [], byId: new Map(), worlds: {}, observed: new Set(), cameras: [], matching: null, task: ""};
const seen = {where: "", sort: "number", isDown: false, deleted: false, open: null};  // what stands in the address
const scenes = new Map();  // by world, promises
let isLost = true, filtering = null;

const asking = new Asking({onNews: heard, onOpen: opened, onLost: lost});
const ask = (say, fields) => asking.ask(say, fields);
const thumbnails = new Thumbnails(show("stamp"), ask, sceneOf);
const table = new Table(show("list"), thumbnails, {onOpen: id => open(id, true), onSort: sortBy, onPick: picked});
const player = new Player(show("player"), ask, sceneOf);
const ofOne = new Labels(show("labels"), show("labelling"), relabel);
const ofMany = new Labels(show("many"), show("labelling"), relabel);

// A promise of {world, packed}; an Error says why there is none.
function sceneOf(episode) {
  const world = dataset.worlds[episode.segment];
  if (!scenes.has(world)) {
    const asked = ask("scene", {episode: episode.id}).then(packed => ({world, packed}));
    asked.catch(error => { if (isLost) scenes.delete(world); });
    scenes.set(world, asked);
  }
  return scenes.get(world);
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
