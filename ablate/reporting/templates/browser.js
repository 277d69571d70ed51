const SIGNS = { r: "✓", w: "✗", t: "=", u: "–" };
const WORDS = { r: "right", w: "wrong", t: "tie", u: "not scored" };
const MINUS = "\u2212";
const fixed = (value, digits) => value.toFixed(digits).replace("-", MINUS);
const signed = (value, digits) => (value < 0 ? "" : "+") + fixed(value, digits);
const total = (numbers) => numbers.reduce((sum, value) => sum + value, 0);

const startBrowser = (root, data) => {
  const state = { a: data.pairs[0][0], b: data.pairs[0][1], task: 0, bucket: "", sort: "telling" };
  state.query = "";
  state.key = null;
  let rows = [];

  const task = () => data.tasks[state.task];
  const points = () => task().kind === "points";

  // The table of all items, turned so that it is A against B.
  const table = () => {
    const { a, b } = state;
    const found = task().pairs[a < b ? `${a},${b}` : `${b},${a}`];
    if (!found) return null;
    const [onlyA, onlyB, both, neither, tie, none, unpaired, flipA, flipB] = found;
    const [value, low, high, p] = found.slice(9);
    const counts = a < b ? { a: onlyA, b: onlyB } : { a: onlyB, b: onlyA };
    const flips = a < b ? { fa: flipA, fb: flipB } : { fa: flipB, fb: flipA };
    const negative = (number) => (number === null ? null : -number);
    const turned = a < b ? [value, low, high] : [value, high, low].map(negative);
    return { ...counts, ...flips, both, neither, tie, none, unpaired, turned, p };
  };

  const bucketOf = (item) => {
    const [one, other] = [item.c[state.a], item.c[state.b]];
    if (!one || !other) return "unpaired";
    if (points()) {
      if (one.s === null || other.s === null) return "none";
      return one.s > other.s ? "a" : one.s < other.s ? "b" : "tie";
    }
    const pair = one.z[0] + other.z[0];
    if (pair.includes("u")) return "none";
    if (pair.includes("t")) return "tie";
    return { rw: "a", wr: "b", rr: "both", ww: "neither" }[pair];
  };

  // Under every seed that both have, at least two: −1 only A has it right, 1 only B has.
  const flip = (item) => {
    const [one, other] = [item.c[state.a], item.c[state.b]];
    const seeds = data.seeds[state.a].filter((seed) => data.seeds[state.b].includes(seed));
    if (points() || seeds.length < 2 || !one || !other) return 0;
    const pairs = seeds.map(
      (seed) => one.z[data.seeds[state.a].indexOf(seed)] + other.z[data.seeds[state.b].indexOf(seed)],
    );
    if (pairs.every((pair) => pair === "rw")) return -1;
    return pairs.every((pair) => pair === "wr") ? 1 : 0;
  };

  const names = () =>
    points()
      ? { a: "A higher", b: "B higher", tie: "equal", none: "not scored" }
      : {
          a: "A only", b: "B only", both: "both right", neither: "neither",
          tie: "judge’s tie", none: "not scored", fa: "A only, every seed", fb: "B only, every seed",
        };

  const gap = (item, name) => {
    const [one, other] = [item.c[state.a], item.c[state.b]];
    const known = one && other && one[name] != null && other[name] != null;
    return known ? Math.abs(one[name] - other[name]) : -1;
  };
  const SORTS = {
    telling: ["most telling first", (item) => Math.abs(flip(item))],
    suite: ["order of the draw", () => 0],
    score: ["difference of scores", (item) => gap(item, "s")],
    length: ["difference of length", (item) => gap(item, "n")],
    kl: ["difference of KL", (item) => gap(item, "l")],
  };

  const matches = (item) => {
    const bucket = bucketOf(item);
    if (bucket === "unpaired") return false;
    if (state.bucket === "fa" || state.bucket === "fb") {
      if (flip(item) !== (state.bucket === "fa" ? -1 : 1)) return false;
    } else if (state.bucket && bucket !== state.bucket) return false;
    if (!state.query) return true;
    const sides = [item.c[state.a], item.c[state.b]];
    const texts = [item.k, item.p, item.t, ...sides.map((side) => side.o)];
    return texts.some((text) => (text || "").toLowerCase().includes(state.query));
  };

  const choice = (label, options, act) => {
    const box = made("label", label);
    const select = made("select");
    options.forEach(([value, text]) => {
      const option = made("option", text);
      option.value = value;
      select.append(option);
    });
    select.addEventListener("change", () => act(select.value));
    box.append(select);
    return [box, select];
  };
  const cells = data.cells.map((cell, place) => [String(place), cell]);
  const pick = (side) => (value) => {
    const other = side === "a" ? "b" : "a";
    if (Number(value) === state[other]) state[other] = state[side];
    state[side] = Number(value);
    update();
  };
  const [boxA, selectA] = choice("A", cells, pick("a"));
  const [boxB, selectB] = choice("B", cells, pick("b"));
  const tasks = data.tasks.map((one, place) => [String(place), one.title]);
  const [boxTask, selectTask] = choice("task", tasks, (value) => {
    state.task = Number(value);
    update();
  });
  const sorts = Object.entries(SORTS).map(([name, [text]]) => [name, text]);
  const [boxSort] = choice("order", sorts, (value) => {
    state.sort = value;
    update();
  });
  const boxSearch = made("label", "search");
  const search = made("input");
  search.type = "search";
  search.addEventListener("input", () => {
    state.query = search.value.trim().toLowerCase();
    update();
  });
  boxSearch.append(search);
  const swap = button("A ⇄ B", () => {
    [state.a, state.b] = [state.b, state.a];
    update();
  });
  swap.setAttribute("aria-label", "exchange A and B");
  const controls = made("div", undefined, "controls");
  controls.append(boxA, swap, boxB, boxTask, boxSort, boxSearch);
  const verdict = made("p", undefined, "verdict");
  const buckets = made("div", undefined, "buckets");
  buckets.setAttribute("role", "group");
  buckets.setAttribute("aria-label", "outcomes");
  const shown = made("p", undefined, "note");
  shown.setAttribute("aria-live", "polite");
  const list = made("ol", undefined, "items");
  list.setAttribute("aria-label", "items");
  const detail = made("div", undefined, "item");
  const halves = made("div", undefined, "halves");
  halves.append(list, detail);

  const count = (found, name) =>
    name === "" ? total([found.a, found.b, found.both, found.neither, found.tie, found.none]) : found[name];

  const sayBuckets = (found) => {
    buckets.replaceChildren();
    const add = (name, text) => {
      if (name && !count(found, name) && !"ab".includes(name) && !["both", "neither"].includes(name)) return;
      const one = button(`${text} `, () => {
        state.bucket = name;
        update();
      });
      one.append(made("b", String(count(found, name))));
      one.dataset.bucket = name;
      one.setAttribute("aria-pressed", String(state.bucket === name));
      buckets.append(one);
    };
    add("", "all items");
    Object.entries(names()).forEach(([name, text]) => add(name, text));
  };

  const sayVerdict = (found) => {
    const scale = points() ? 1 : 100;
    const unit = points() ? "points" : "percentage points";
    const [value, low, high] = found.turned;
    if (value === null) {
      verdict.textContent = "No item is scored under both.";
      return;
    }
    const interval = low === null ? "no interval" : `[${signed(low * scale, 1)}, ${signed(high * scale, 1)}]`;
    const p = found.p < 0.001 ? "p < 0.001" : `p = ${found.p.toFixed(3)}`;
    const kind = points() ? "95 % t interval, exact sign test" : "95 % Bonett–Price interval, exact McNemar";
    const apart = found.unpaired ? ` ${found.unpaired} items are not in both.` : "";
    verdict.textContent =
      `B ${MINUS} A: ${signed(value * scale, 1)} ${unit} ${interval}, ${p} (${kind}; ` +
      `seed ${data.seeds[state.a][0]} of A, seed ${data.seeds[state.b][0]} of B; these two checkpoints, not adjusted).${apart}`;
  };

  const seedStrip = (side, cell) => {
    const strip = made("span", undefined, "strip");
    data.seeds[cell].forEach((seed, place) => {
      const code = side.z[place] || "u";
      const one = made("span", points() ? `seed ${seed}` : `seed ${seed} ${SIGNS[code]}`, code);
      if (!points()) one.setAttribute("aria-label", `seed ${seed}: ${WORDS[code]}`);
      strip.append(one);
    });
    return strip;
  };

  const facts = (side) => {
    const said = [];
    if (side.s !== null && (points() || ![0, 1].includes(side.s))) said.push(`score ${fixed(side.s, 2)}`);
    if (side.n != null) said.push(`${side.n} tokens`);
    if (side.l != null) said.push(`KL ${fixed(side.l, 1)} nats`);
    Object.entries(side.m || {}).forEach(([name, value]) => {
      if (value !== null) said.push(`${name} ${fixed(value, 2).replace(/\.00$/, "")}`);
    });
    return said.join(" · ");
  };

  const sideOf = (letter, cell, side, pieces) => {
    const box = made("section", undefined, "side");
    const head = made("h4", `${letter}: ${data.cells[cell]} `);
    if (!points()) head.append(made("span", `${SIGNS[side.z[0]]} ${WORDS[side.z[0]]}`, "came", side.z[0]));
    const text = made("div", undefined, "output");
    pieces.forEach(([piece, only]) => text.append(only ? made("mark", piece) : piece));
    if (!side.o) text.append(made("em", "(no text)"));
    box.append(head, made("p", facts(side), "about"), seedStrip(side, cell), text);
    if (side.w) box.append(made("p", `Cut here; the output has ${side.w.toLocaleString("en")} characters.`, "note"));
    (side.f || []).forEach((flag) => box.append(made("p", flag, "flag")));
    if (side.j) {
      const words = made("details");
      words.append(made("summary", "What the judge said"));
      side.j.forEach((word) => words.append(made("div", word, "output")));
      box.append(words);
    }
    return box;
  };

  const address = (item) =>
    "#" + [task().name, item.k, data.cells[state.a], data.cells[state.b]].map(encodeURIComponent).join("/");

  const sayItem = () => {
    detail.replaceChildren();
    const place = rows.findIndex((item) => item.k === state.key);
    const item = rows[place];
    if (!item) {
      detail.append(made("p", "No item here. Choose other outcomes, or clear the search.", "note"));
      return;
    }
    const steps = made("p", undefined, "steps");
    const link = made("a", "link to this item");
    link.href = address(item);
    steps.append(
      button("‹ Previous", () => step(-1)), button("Next ›", () => step(1)),
      made("span", `item ${place + 1} of ${rows.length} · ${names()[bucketOf(item)]}`), link,
    );
    const sides = [item.c[state.a], item.c[state.b]];
    let pieces = wordDiff(sides[0].o || "", sides[1].o || "");
    // Where nearly everything would be marked, marks only get in the way.
    const apart = pieces.every((side) => {
      const length = total(side.map(([text]) => text.length));
      const marked = total(side.map(([text, only]) => (only ? text.length : 0)));
      return length > 80 && marked > 0.7 * length;
    });
    if (apart) pieces = sides.map((side) => [[side.o, false]]);
    detail.append(steps, made("h3", `${task().title}, ${item.k.slice(item.k.indexOf("/") + 1)}`));
    detail.append(made("h4", "Prompt"), made("div", item.p || "(not stored)", "output", "prompt"));
    if (item.w) detail.append(made("p", `Cut here; the prompt has ${item.w.toLocaleString("en")} characters.`, "note"));
    if (item.t) detail.append(made("h4", "Expected"), made("div", item.t, "output"));
    const both = made("div", undefined, "sides");
    both.append(...["A", "B"].map((letter, n) => sideOf(letter, [state.a, state.b][n], sides[n], pieces[n])));
    detail.append(both);
    if (apart) detail.append(made("p", "The two outputs share few words, so none are marked.", "note"));
  };

  const choose = (key, push) => {
    state.key = key;
    list.querySelectorAll("button").forEach((one) => {
      const current = one.dataset.key === key;
      if (current) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
      // Only the list itself is scrolled, never the page.
      if (current) list.scrollTop = one.parentElement.offsetTop - list.offsetTop - list.clientHeight / 3;
    });
    sayItem();
    const item = rows.find((one) => one.k === key);
    if (push && item) history.replaceState(null, "", address(item));
  };

  const step = (by) => {
    const place = rows.findIndex((item) => item.k === state.key);
    const next = rows[Math.min(Math.max(place + by, 0), rows.length - 1)];
    if (next) choose(next.k, true);
  };

  const sayList = () => {
    list.replaceChildren();
    rows.forEach((item) => {
      const sides = [item.c[state.a], item.c[state.b]];
      const marks = points() ? sides.map((s) => fixed(s.s ?? NaN, 1)) : sides.map((s) => SIGNS[s.z[0]]);
      const one = button(`${marks.join(" ")}  `, () => choose(item.k, true));
      one.append(made("span", (item.p || item.k).slice(0, 90)));
      one.dataset.key = item.k;
      const row = made("li");
      row.append(one);
      list.append(row);
    });
  };

  const update = () => {
    selectA.value = String(state.a);
    selectB.value = String(state.b);
    selectTask.value = String(state.task);
    const found = table();
    if (found && !count(found, state.bucket)) state.bucket = "";
    const items = task().items;
    const value = SORTS[state.sort][1];
    rows = found ? items.filter(matches) : [];
    rows = rows.map((item) => [value(item), item]).sort(([x], [y]) => y - x).map(([, item]) => item);
    if (found) {
      sayBuckets(found);
      sayVerdict(found);
      const all = count(found, state.bucket);
      shown.textContent = `Showing ${rows.length} of ${all}${state.query ? ", those that match the search" : ""}.`;
    } else {
      buckets.replaceChildren();
      shown.textContent = "";
      verdict.textContent = "One of the two cells was not evaluated on this task.";
    }
    if (!rows.some((item) => item.k === state.key)) state.key = rows.length ? rows[0].k : null;
    sayList();
    choose(state.key, false);
  };

  const follow = () => {
    const parts = location.hash.slice(1).split("/");
    if (parts.length !== 4) return false;
    let named;
    try {
      named = parts.map(decodeURIComponent);
    } catch {
      return false;
    }
    const [ofTask, key, a, b] = named;
    const at = [data.tasks.findIndex((one) => one.name === ofTask), data.cells.indexOf(a), data.cells.indexOf(b)];
    if (at.includes(-1) || at[1] === at[2]) return false;
    Object.assign(state, { task: at[0], a: at[1], b: at[2], bucket: "", query: "", key });
    search.value = "";
    update();
    root.scrollIntoView();
    return true;
  };

  root.replaceChildren(controls, verdict, buckets, shown, halves);
  root.append(made("p", "Keys: ← and → step through the items while the focus is in this part. Marked words are those that the other side does not have.", "note"));
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  window.addEventListener("hashchange", follow);
  if (!follow()) update();
};

const stored = document.getElementById("outputs");
if (stored) startBrowser(document.getElementById("browser"), JSON.parse(stored.textContent));
