// What is listed: the dataset as it was read last, filtered and in order.

async function opened() {
  isLost = false;
  scenes.clear();
  show("lost").hidden = true;
  await refresh();
  thumbnails.again(true);
}

function lost(isRefused) {
  isLost = true;
  show("lost").textContent = isRefused ? "Another server runs here: open the address that it printed" : "Looking for the server";
  show("lost").hidden = false;
}

async function refresh() {
  const before = dataset.episodes.length, isFirst = !dataset.task;
  show("refresh").disabled = true;
  try {
    take(await ask("list"));
  } catch (error) {
    return toast(error.message, {isBad: true});
  } finally {
    show("refresh").disabled = false;
  }
  if (isFirst) begin();
  else if (dataset.episodes.length !== before) toast(`${dataset.episodes.length - before} new episodes`);
  await filter();
  if (dataset.episodes.length && !dataset.cameras.length) sceneOf(dataset.episodes[0]).catch(noPictures);
  ask("shares").then(shares => {
    for (const [id, found] of Object.entries(shares)) if (dataset.byId.has(id)) dataset.byId.get(id).shares = found;
    list();
  }, () => null);
  if (seen.open) await open(seen.open, false);
}

function noPictures() {
  show("list").classList.add("plain");
  table.draw(true);
}

function take({path, task, where, cameras, worlds, observed, writers, columns, rows}) {
  const known = dataset.byId;
  Object.assign(dataset, {path, task, where, cameras, worlds, columns, observed: new Set(observed)});
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
  if (rows.some(row => row[0] === seen.open)) tellAbout(seen.open).catch(() => null);  // the connection is lost
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
  const deleted = episodes.filter(episode => episode.deleted).length;
  show("deleted").textContent = deleted ? `Deleted (${deleted.toLocaleString("en")})` : "Deleted";
  show("none").hidden = found.length > 0;
  show("none").textContent = !episodes.length ? "No episode is committed yet. Refresh once one is."
    : seen.deleted && !kind.length ? "No episode is deleted." : kind.length ? "The filter selects no episode." : "Every episode is deleted.";
  table.sorted(seen.sort, seen.isDown);
  table.show(inOrder(found, seen.sort, seen.isDown));
  if (seen.open) drawSteps();
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

