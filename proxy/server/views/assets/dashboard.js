// The dashboard: shows what `admin/state` tells, as it changes.
//
// Every name here was chosen by somebody (tenants, models, upstreams): all of it goes into the page as text,
// never as markup. Rows and meters are kept and changed in place, so that neither focus nor a screen reader's
// place is lost once a second; only what is news is announced.

const POLL_MS = 5000;
const RETRY_MS = 15000;
const SIGNS = { up: "●", degraded: "◐", down: "■", off: "○", ok: "●", failed: "■" };

const byId = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const plain = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));
const share = (value) => (value === null ? "–" : percent.format(value));
const milliseconds = (value) => (value === null ? "–" : `${count.format(value)} ms`);
const usd = (nano) => `$${(nano / 1e9).toFixed(nano && nano < 1e7 ? 6 : 2)}`;
const amount = (unit, value) => (unit === "nano_usd" ? usd(value) : count.format(value));
const clock = (moment) => (moment ? moment.slice(11, 19) : "–");
const several = (number, one, more = `${one}s`) => `${count.format(number)} ${number === 1 ? one : more}`;
const both = (spread) => `${milliseconds(spread.p50)} / ${milliseconds(spread.p95)}`;

function setText(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Whatever the parent holds becomes one node for each item, in order; nodes of known keys are kept.
function keep(parent, items, keyOf, make, change) {
  const known = (parent.known ??= new Map());
  const kept = new Map();
  items.forEach((item, index) => {
    const key = keyOf(item, index);
    const node = known.get(key) ?? make(item);
    kept.set(key, node);
    known.delete(key);
    change(node, item);
  });
  for (const node of known.values()) node.remove();
  let place = parent.firstChild;
  for (const node of kept.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  parent.known = kept;
}

// ── tables ──────────────────────────────────────────────────────────────────────────────────────────

function showState(cell, state, more = "") {
  if (!cell.firstChild) {
    cell.append(made("span", { class: "state" }, made("span", { "aria-hidden": "true" }), made("span")));
  }
  const [sign, word] = cell.firstChild.children;
  setAttribute(cell.firstChild, "data-is", state in SIGNS ? state : "failed");
  setText(sign, `${SIGNS[state] ?? SIGNS.failed} `);
  setText(word, more ? `${state}, ${more}` : state);
}

function breaker(upstream) {
  if (upstream.breaker === null) return upstream.why; // it is off
  const why = upstream.why && upstream.why !== "open" ? ` (${upstream.why})` : "";
  const until = upstream.open_until ? `, until ${clock(upstream.open_until)}` : "";
  return upstream.breaker.replace("_", " ") + why + until;
}

function tries(call) {
  return call.attempts.map((each) => {
    const status = each.status === null ? "" : ` ${each.status}`;
    return `${each.upstream}/${each.model}: ${each.result}${status}, ${milliseconds(each.ended_ms - each.started_ms)}`;
  });
}

function showTries(cell, call) {
  if (cell.firstChild) return; // a call that has ended does not change
  const list = made("ol");
  for (const text of tries(call)) list.append(made("li", {}, text));
  cell.append(call.attempts.length ? list : "none");
}

const fallbacks = (minute) => (minute.ok ? minute.fallbacks / minute.ok : null);
const tokens = (each) => each.input_tokens + each.output_tokens;

// [heading, what a cell says, whether it is a number]; the first heads its row.
const TABLES = {
  upstreams: {
    key: (each) => each.name,
    columns: [
      ["Name", (each) => each.name],
      ["State", (cell, each) => showState(cell, each.state)],
      ["Breaker", breaker],
      ["First token, p50 / p95", (each) => both(each.first_token_ms), true],
      ["Whole, p50 / p95", (each) => both(each.total_ms), true],
      ["Errors", (each) => `${share(each.error_share)} of ${count.format(each.attempts)}`, true],
      ["Passed over", (each) => plain(Object.entries(each.targets).map(([name, why]) => `${name}: ${why}`).join(", "))],
    ],
  },
  workers: {
    key: (each) => each.worker,
    columns: [
      ["Worker", (each) => String(each.worker)],
      ["State", (each) => (each.draining ? "draining" : "ready")],
      ["Calls under way", (each) => count.format(each.in_flight), true],
      ["Calls in the last hour", (each) => count.format(each.calls), true],
      ["Shut upstreams", (each) => plain(each.shut.join(", "))],
    ],
  },
  minutes: {
    key: (each) => each.at_s,
    columns: [
      ["Minute (UTC)", (each) => new Date(each.at_s * 1000).toISOString().slice(11, 16)],
      ["Calls", (each) => count.format(each.calls), true],
      ["Fallbacks", (each) => share(fallbacks(each)), true],
      ["Tokens", (each) => count.format(tokens(each)), true],
      ["Money", (each) => usd(each.nano_usd), true],
    ],
  },
  calls: {
    key: (each) => each.id,
    columns: [
      ["Ended (UTC)", (each) => clock(each.at)],
      ["Tenant", (each) => each.tenant],
      ["Model", (each) => each.model],
      ["Result", (cell, each) => showState(cell, each.result, String(each.status))],
      ["Attempts", showTries],
      ["Tokens", (each) => count.format(tokens(each)), true],
      ["Money", (each) => usd(each.nano_usd), true],
      ["Took", (each) => milliseconds(each.total_ms), true],
    ],
  },
  alerts: {
    key: (each) => `${each.at} ${each.scope} ${each.window_start} ${each.mark}`,
    columns: [
      ["When (UTC)", (each) => each.at.slice(0, 19).replace("T", " ")],
      ["Counter", (each) => each.scope],
      ["Mark", (each) => `${each.mark} %`, true],
      ["Used", (each) => `${amount(each.unit, each.used)} of ${amount(each.unit, each.ceiling)}`, true],
    ],
  },
};

// Roles are written out, for a table that is shown as cards would lose them.
function prepare(table, columns) {
  const heads = columns.map(([name, , number]) =>
    made("th", { scope: "col", role: "columnheader", ...(number && { class: "number" }) }, name));
  table.setAttribute("role", "table");
  table.append(made("thead", { role: "rowgroup" }, made("tr", { role: "row" }, ...heads)));
  table.append(made("tbody", { role: "rowgroup" }));
}

function row(columns) {
  const cells = columns.map(([name, , number], index) =>
    index === 0
      ? made("th", { scope: "row", role: "rowheader", "data-label": name })
      : made("td", { role: "cell", "data-label": name, ...(number && { class: "number" }) }));
  return made("tr", { role: "row" }, ...cells);
}

function showTable(name, items) {
  const { key, columns } = TABLES[name];
  const table = document.querySelector(`[data-rows="${name}"]`);
  if (!table.tBodies.length) prepare(table, columns);
  table.hidden = items.length === 0;
  keep(table.tBodies[0], items, key, () => row(columns), (node, item) => {
    columns.forEach(([, say], index) => {
      const cell = node.children[index];
      if (say.length === 2) say(cell, item);
      else setText(cell, say(item));
    });
  });
}

// ── plots ───────────────────────────────────────────────────────────────────────────────────────────

const PLOTS = [
  ["Calls", (minute) => minute.calls, (value) => count.format(value)],
  ["Fallback share", (minute) => fallbacks(minute) ?? 0, share],
  ["Tokens", tokens, (value) => count.format(value)],
  ["Money", (minute) => minute.nano_usd, usd],
];
const [WIDE, HIGH] = [600, 100];

function plot([title]) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of [["viewBox", `0 0 ${WIDE} ${HIGH}`], ["preserveAspectRatio", "none"], ["role", "img"]]) {
    svg.setAttribute(name, value);
  }
  return made(
    "figure",
    {},
    made("figcaption", {}, made("strong", {}, title), made("span")),
    svg,
    made("div", { class: "axis", "aria-hidden": "true" }, made("span", {}, "an hour ago"), made("span", {}, "now")),
  );
}

function showPlot(figure, [title, of, say], minutes) {
  const values = minutes.map(of);
  const most = Math.max(...values);
  const now = say(values.at(-1));
  const last = say(values.at(-2) ?? 0);
  const svg = figure.querySelector("svg");
  setText(figure.querySelector("figcaption span"), `${last} last minute, at most ${say(most)}`);
  const told = `${title} by the minute, for an hour: ${now} in this minute, ${last} in the last one, at most ${say(most)}.`;
  setAttribute(svg, "aria-label", told);
  const step = WIDE / values.length;
  keep(svg, values, (_, index) => index, () => document.createElementNS(svg.namespaceURI, "rect"), () => {});
  values.forEach((value, index) => {
    const height = most ? (HIGH * value) / most : 0;
    const place = { x: index * step + 1, width: step - 2, y: HIGH - height, height };
    for (const [name, number] of Object.entries(place)) setAttribute(svg.children[index], name, String(number));
  });
}

// ── limits ──────────────────────────────────────────────────────────────────────────────────────────

let meters = 0;

function meter(limit) {
  const name = `limit-${(meters += 1)}`;
  const bar = made("div", { class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" });
  bar.setAttribute("aria-labelledby", name);
  bar.append(made("div", { class: "held" }), made("div", { class: "used" }));
  const labels = made("div", { class: "marks", "aria-hidden": "true" });
  for (const mark of limit.marks) {
    for (const [node, text] of [[made("span", { class: "mark" }), ""], [made("span"), String(mark)]]) {
      node.style.left = `calc(${Math.min(mark, 100)}% - ${text ? 0 : 2}px)`;
      node.textContent = text;
      (text ? labels : bar).append(node);
    }
  }
  return made("li", { class: "limit" }, made("p", {}, made("strong", { id: name }), made("span")), bar, labels);
}

function showMeter(node, limit) {
  const part = limit.ceiling ? limit.used / limit.ceiling : 1;
  const full = limit.ceiling ? (limit.used + limit.held) / limit.ceiling : 1;
  // Of calls at once nothing is ever used up: what is held is how it stands.
  const now = limit.every === null ? full : part;
  const past = limit.marks.filter((mark) => now * 100 >= mark).at(-1);
  const [title, value] = node.querySelector("p").children;
  const unit = limit.unit === "nano_usd" ? "USD" : limit.unit;
  const span = limit.every === null ? "at once" : `${limit.every === "hour" ? "an" : "a"} ${limit.every}`;
  const others = Object.entries(limit.whose).slice(1).map((pair) => pair.join(" ")).join(", ");
  setText(title, [`${unit} ${span}`, others, limit.shadow && "shadow"].filter(Boolean).join(", "));
  const held = limit.held && limit.every !== null ? `, ${amount(limit.unit, limit.held)} held` : "";
  const stood = limit.every === null ? limit.held : limit.used;
  const beyond = past ? `, past the ${past} % mark` : "";
  const told = `${amount(limit.unit, stood)} of ${amount(limit.unit, limit.ceiling)}, ${percent.format(now)}${beyond}${held}`;
  setText(value, told);
  const bar = node.querySelector(".meter");
  setAttribute(bar, "aria-valuenow", String(Math.min(100, Math.round(now * 100))));
  setAttribute(bar, "aria-valuetext", told);
  setAttribute(bar, "data-is", past === undefined ? "up" : past >= 90 ? "down" : "degraded");
  bar.querySelector(".used").style.width = `${Math.min(100, part * 100)}%`;
  bar.querySelector(".held").style.width = `${Math.min(100, full * 100)}%`;
}

function showLimits(limits) {
  const groups = new Map();
  for (const limit of limits) {
    const [first] = Object.entries(limit.whose);
    const name = first ? first.join(" ") : "everybody";
    groups.set(name, [...(groups.get(name) ?? []), limit]);
  }
  const inOrder = [...groups].sort(([one], [other]) => other.startsWith("tenant ") - one.startsWith("tenant "));
  keep(
    byId("meters"),
    inOrder,
    ([name]) => name,
    ([name]) => made("div", {}, made("h3", {}, name), made("ul", { class: "limits", role: "list" })),
    (node, [, own]) => keep(node.lastChild, own, (each) => each.scope + each.marks, meter, showMeter),
  );
}

// ── the whole ───────────────────────────────────────────────────────────────────────────────────────

let before = null;

function news(state) {
  if (before === null) return [];
  const was = new Map(before.upstreams.map((each) => [each.name, each.state]));
  const told = state.upstreams
    .filter((each) => was.has(each.name) && was.get(each.name) !== each.state)
    .map((each) => `${each.name} is ${each.state}.`);
  if (state.faults.length && String(state.faults) !== String(before.faults)) {
    told.push(`The edited table has ${several(state.faults.length, "fault")}.`);
  }
  if (state.alerts.length && state.alerts[0].at !== before.alerts[0]?.at) {
    told.push(`${state.alerts[0].scope} has crossed ${state.alerts[0].mark} %.`);
  }
  return told;
}

function show(state) {
  const troubles = Object.entries(state.checks).filter(([, word]) => word !== "ok").map((pair) => pair.join(": "));
  const ready = state.draining ? "Draining" : troubles.length ? troubles.join("; ") : "Ready";
  setText(byId("standing"), `${ready}. ${several(state.in_flight, "call")} under way. As of ${clock(state.at)} UTC.`);
  const told = news(state);
  if (told.length) setText(byId("news"), told.join(" "));

  for (const name of ["upstreams", "workers", "calls", "alerts"]) showTable(name, state[name]);
  showTable("minutes", [...state.minutes].reverse());
  byId("workers").hidden = state.workers_expected < 2;
  setText(byId("workers-note"), `${state.workers.length} of ${state.workers_expected} answer.`);
  const figures = byId("plots");
  keep(figures, PLOTS, ([title]) => title, plot, (node, each) => showPlot(node, each, state.minutes));
  showLimits(state.limits);
  const none = state.limits.length ? "What is used and held of each counter, as the ledger has it." : "Nothing is counted now.";
  setText(byId("limits-note"), state.ledger === "ok" ? none : state.ledger);
  setText(byId("calls-note"), state.calls.length ? `The last ${state.calls.length}, the newest first.` : "None yet.");
  setText(byId("alerts-note"), state.alerts.length ? "Marks that were crossed, the newest first." : "None this month.");
  const faults = `The edited file has ${several(state.faults.length, "fault")}; the last good table stays in force.`;
  setText(byId("faults-note"), state.faults.length ? faults : "No fault: what the file says is in force.");
  keep(byId("faults"), state.faults, (fault) => fault, (fault) => made("li", {}, fault), () => {});
  before = state;
}

// ── live, as long as somebody looks ─────────────────────────────────────────────────────────────────

let source = null;
let timer = null;

async function poll() {
  try {
    const answer = await fetch("admin/state");
    if (answer.ok) show(await answer.json());
  } catch {
    setText(byId("standing"), "The proxy does not answer.");
  }
}

function rest() {
  source?.close();
  clearInterval(timer);
  source = timer = null;
}

function watch() {
  rest();
  source = new EventSource("admin/events");
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    setText(byId("standing"), "The connection is lost; trying again.");
    if (source.readyState !== EventSource.CLOSED) return; // it tries by itself
    rest();
    timer = setInterval(poll, POLL_MS);
    setTimeout(() => document.hidden || source || watch(), RETRY_MS);
  };
}

document.addEventListener("visibilitychange", () => (document.hidden ? rest() : watch()));
watch();
