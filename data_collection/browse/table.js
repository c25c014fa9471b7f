// The episodes as rows, of which only those in sight exist: there may be a hundred thousand.

const SPARE = 4;  // rows above and below those in sight
const unknownMark = "?";
const number = (value, digits) => value === null ? unknownMark : String(Number(value.toFixed(digits)));
const PEOPLE = ["human", "intervention"];

// Of an episode: who acted in how much of it; null: that is not known yet.
function sharesOf(episode) {
  if (episode.shares) return episode.shares;
  return episode.actor?.length === 1 ? {[episode.actor[0]]: 1} : null;
}

function peopleShare(episode) {
  const shares = sharesOf(episode);
  return shares && !("unknown" in shares) ? PEOPLE.reduce((sum, who) => sum + (shares[who] ?? 0), 0) : null;
}

function saidShares(episode) {
  const shares = sharesOf(episode);
  if (!shares) return episode.actor?.join(", ") ?? unknownMark;
  const parts = Object.entries(shares).sort((a, b) => b[1] - a[1]);
  return parts.length === 1 ? parts[0][0] : parts.map(([who, share]) => `${who} ${Math.round(100 * share)}%`).join(", ");
}

// head: what stands above; said(episode): its text; key(episode): what it is sorted by, null: unknown, last.
const COLUMNS = [
  {name: "number", head: "#", said: e => String(e.number), key: e => e.number},
  {name: "operator", head: "Operator", said: e => e.operator ?? unknownMark, key: e => e.operator},
  {name: "actor", head: "Who acted", said: saidShares, key: peopleShare},
  {name: "length", head: "Steps", said: e => String(e.length), key: e => e.length},
  {name: "return", head: "Return", said: e => number(e.return, 2), key: e => e.return},
  {name: "success", head: "Success", said: e => e.success === null ? unknownMark : e.success ? "yes" : "no", key: e => e.success === null ? null : Number(e.success)},
  {name: "quality", head: "Quality", said: e => number(e.quality, 2), key: e => e.quality},
  {name: "end", head: "End", said: e => e.end_reason ?? unknownMark, key: e => e.end_reason},
  {name: "seed", head: "Seed", said: e => number(e.seed, 0), key: e => e.seed},
  {name: "notes", head: "Notes", said: e => e.notes, key: e => e.notes || null},
];

function inOrder(episodes, name, isDown) {
  const {key} = COLUMNS.find(column => column.name === name) ?? COLUMNS[0], way = isDown ? -1 : 1;
  const keyed = episodes.map(episode => ({episode, by: key(episode)}));
  const compare = (a, b) => typeof a === "string" ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
  keyed.sort(({by: a, episode: one}, {by: b, episode: other}) =>
    a === null || b === null ? (a === null) - (b === null) || one.number - other.number
                             : way * compare(a, b) || one.number - other.number);
  return keyed.map(({episode}) => episode);
}

class Table {
  // onOpen(episode), onSort(name), onPick(): a row, a head, or the set `picked` of ids changes.
  constructor(root, thumbnails, {onOpen, onSort, onPick}) {
    Object.assign(this, {root, thumbnails, onOpen, onSort, onPick});
    this.episodes = [];
    this.picked = new Set();
    this.open = null;  // id of the episode that is shown
    this.at = 0;  // its place, kept where it is listed no more
    this.last = null;  // place of the one picked last: shift picks from there
    this.heads = root.querySelector(".heads");
    this.scroller = root.querySelector(".scroller");
    this.inner = root.querySelector(".inner");
    this.rows = new Map();  // by id, those that exist
    this.makeHeads();
    this.scroller.addEventListener("scroll", () => this.draw(), {passive: true});
    new ResizeObserver(() => this.draw(true)).observe(this.scroller);
  }

  makeHeads() {
    this.all = Object.assign(document.createElement("input"), {type: "checkbox", ariaLabel: "Select all that are listed"});
    this.all.addEventListener("change", () => {
      this.picked = new Set(this.all.checked ? this.episodes.map(episode => episode.id) : []);
      this.pickedNew();
    });
    const pick = Object.assign(document.createElement("span"), {className: "c-pick", role: "columnheader"});
    pick.append(this.all);
    const thumb = Object.assign(document.createElement("span"), {className: "c-thumb", role: "columnheader", ariaLabel: "Picture of the end"});
    const heads = COLUMNS.map(({name, head}) => {
      const cell = Object.assign(document.createElement("span"), {className: `c-${name}`, role: "columnheader"});
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: head});
      button.addEventListener("click", () => this.onSort(name));
      cell.append(button);
      return cell;
    });
    this.heads.replaceChildren(pick, thumb, ...heads);
  }

  sorted(name, isDown) {
    COLUMNS.forEach((column, i) => {
      this.heads.children[i + 2].ariaSort = column.name !== name ? "none" : isDown ? "descending" : "ascending";
    });
  }

  // episodes: in their order.
  show(episodes) {
    this.episodes = episodes;
    const listed = new Set(episodes.map(episode => episode.id));
    for (const id of this.picked) if (!listed.has(id)) this.picked.delete(id);
    this.inner.setAttribute("aria-rowcount", episodes.length);
    this.draw(true);
    this.pickedNew();
  }

  // isNew: what the rows say may have changed.
  draw(isNew = false) {
    const tall = parseFloat(getComputedStyle(this.inner).getPropertyValue("--row")) || 64;
    this.tall = tall;
    this.inner.style.height = `${tall * this.episodes.length}px`;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / tall) - SPARE);
    const end = Math.min(this.episodes.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / tall) + SPARE);
    const seen = this.episodes.slice(first, end), ids = new Set(seen.map(episode => episode.id));
    for (const [id, row] of this.rows) if (!ids.has(id)) {
      row.remove();
      this.rows.delete(id);
      this.thumbnails.forget(id);
    }
    seen.forEach((episode, i) => {
      const known = this.rows.get(episode.id), row = known ?? this.makeRow(episode);
      row.style.transform = `translateY(${tall * (first + i)}px)`;
      row.setAttribute("aria-rowindex", first + i + 1);
      if (!known || isNew) this.fill(row, episode);
    });
  }

  makeRow(episode) {
    const row = Object.assign(document.createElement("div"), {className: "row", role: "row", tabIndex: -1});
    row.dataset.id = episode.id;
    const pick = Object.assign(document.createElement("label"), {className: "c-pick"});
    const box = Object.assign(document.createElement("input"), {type: "checkbox", ariaLabel: `Select episode ${episode.number}`});
    box.addEventListener("click", event => {
      event.stopPropagation();
      this.pick(episode.id, box.checked, event.shiftKey);
    });
    pick.append(box);
    pick.addEventListener("click", event => event.stopPropagation());
    const picture = Object.assign(document.createElement("canvas"), {className: "c-thumb"});
    const cells = COLUMNS.map(({name}) => Object.assign(document.createElement("span"), {className: `c-${name}`, role: "cell"}));
    row.append(pick, picture, ...cells);
    row.addEventListener("click", () => this.onOpen(episode.id));
    this.inner.append(row);
    this.rows.set(episode.id, row);
    this.thumbnails.want(episode, picture);
    return row;
  }

  fill(row, episode) {
    row.classList.toggle("open", episode.id === this.open);
    row.setAttribute("aria-selected", String(this.picked.has(episode.id)));
    row.firstChild.firstChild.checked = this.picked.has(episode.id);
    COLUMNS.forEach(({name, said}, i) => {
      const cell = row.children[i + 2], text = said(episode);
      if (name === "actor") return this.fillActors(cell, episode, text);
      cell.textContent = text;
      cell.title = name === "notes" || name === "operator" || name === "end" ? text : "";
      cell.classList.toggle("unknown", text === unknownMark);
      if (name === "success") cell.dataset.is = text;
    });
  }

  fillActors(cell, episode, text) {
    const band = Object.assign(document.createElement("i"), {className: "band"}), said = document.createElement("span");
    for (const [who, share] of Object.entries(sharesOf(episode) ?? {})) {
      const part = document.createElement("i");
      part.style.background = `var(--who-${who})`;
      part.style.flexGrow = share;
      band.append(part);
    }
    said.textContent = text;
    cell.title = text;
    cell.replaceChildren(band, said);
  }

  // Picking

  pick(id, isPicked, isRange) {
    const place = this.episodes.findIndex(episode => episode.id === id);
    const [from, to] = isRange && this.last !== null ? [Math.min(place, this.last), Math.max(place, this.last)] : [place, place];
    for (const episode of this.episodes.slice(from, to + 1)) isPicked ? this.picked.add(episode.id) : this.picked.delete(episode.id);
    this.last = place;
    this.pickedNew();
  }

  pickedNew() {
    this.all.checked = this.episodes.length > 0 && this.picked.size === this.episodes.length;
    this.all.indeterminate = this.picked.size > 0 && !this.all.checked;
    this.draw(true);
    this.onPick();
  }

  // The episode `by` places, 1 or -1, further on in the list; null: there is none. What took the place of one
  // that is listed no more comes after it.
  beside(id, by) {
    const place = this.episodes.findIndex(episode => episode.id === id);
    return this.episodes[place >= 0 ? place + by : this.at + Math.min(by, 0)] ?? null;
  }

  mark(id) {
    this.open = id;
    const place = this.episodes.findIndex(episode => episode.id === id), {scroller, tall} = this;
    if (place >= 0) {
      this.at = place;
      const top = place * tall;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      if (top + tall > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + tall - scroller.clientHeight;
    }
    this.draw(true);
  }
}
