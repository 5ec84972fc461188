"use strict";

const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function worstClass(content) {
  const scored = Object.entries(content.metrics?.per_class || {})
    .map(([label, of]) => ({ label, f1: of.frame?.f1, n: of.event?.counts?.n_ref }))
    .filter((one) => one.f1 !== null && one.f1 !== undefined && one.n !== 0);
  return scored.sort((a, b) => a.f1 - b.f1)[0] || null;
}

// How p_teacher went, in words: from where to where, and when it was first half-way down.
function teacherStory(content) {
  const curve = content.history?.p_teacher;
  if (!curve || curve[0] === null) return null;
  if (!content.feeds_back) return { short: "no feedback", long: "The model feeds nothing back, so p_teacher has no effect." };
  const [first, last] = [curve[0], curve[curve.length - 1]];
  const epochs = content.history.epoch;
  if (Math.abs(first - last) < 1e-6) return { short: `${first.toFixed(2)} throughout`, long: `p_teacher stayed at ${first.toFixed(2)}.` };
  const half = curve.findIndex((p) => p !== null && p < 0.5);
  const when = first >= 0.5 && half >= 0 ? `It fell below 0.5 in epoch ${epochs[half]}.` : "";
  return {
    short: `${first.toFixed(2)} → ${last.toFixed(2)}`,
    when: first >= 0.5 && half >= 0 ? `below 0.5 in epoch ${epochs[half]} of ${epochs.length}` : `over ${epochs.length} epochs`,
    long: `p_teacher went from ${first.toFixed(2)} after epoch ${epochs[0]} to ${last.toFixed(2)} after epoch ${epochs[epochs.length - 1]}. ${when}`,
    epoch: first >= 0.5 && half >= 0 ? epochs[half] : null,
  };
}

function showHeader(content) {
  const record = content.record;
  document.getElementById("title").textContent = content.title;
  const score = content.metrics ? `${content.metrics.n_files} ${content.metrics.split} recordings` : "not evaluated";
  const facts = [`sedtf ${record.verb || "train"}`, record.status, `seed ${record.seed}`, (record.started || "").slice(0, 16).replace("T", " "), score];
  document.getElementById("subtitle").textContent = facts.filter(Boolean).join(" · ");
  for (const note of content.notes) document.getElementById("main").append(make("p", { class: "note", role: "note" }, note));
}

function showSummary(content) {
  const metrics = content.metrics;
  const tiles = [];
  const tile = (name, value, below, extra) => tiles.push(make("div", { class: `tile ${extra || ""}` }, name, make("b", {}, value), below ? make("span", { class: "soft" }, below) : null));
  const interval = (block, name) => { const ends = block.interval?.[name]; return !ends || ends[0] === null ? "" : `95 %: ${fraction(ends[0])} to ${fraction(ends[1])}`; };
  const worst = worstClass(content);
  if (worst) tile("Worst class (frame F1)", make("button", { type: "button", class: "link", onclick: () => listenTo(worst.label) }, worst.label), `F1 ${fraction(worst.f1)}${content.files.length ? ". Press its name to hear its errors." : ""}`, "worst wide");
  if (metrics) {
    for (const kind of content.kinds) if (kind.in_short) {
      const [{ name, title }] = kind.figures;
      tile(capitalised(title), fraction(metrics[kind.name][name]), interval(metrics[kind.name], name));
    }
    if (metrics.segment) tile("Segment error rate", fraction(metrics.segment.er), "0 is best, may exceed 1");
  }
  const best = content.best_epoch;
  if (best !== null) tile("Best epoch", String(best), `of ${content.history.epoch.length}, by ${content.monitor.replaceAll("_", " ")}`);
  const teacher = teacherStory(content);
  if (teacher) tile("p_teacher", make("a", { href: "#learning" }, teacher.short), teacher.when);
  const table = metrics ? showKinds(content) : null;
  addPart("summary", "Summary", null, make("div", { class: "tiles" }, tiles), table);
}

function showKinds(content) {
  const { metrics } = content;
  const kinds = content.kinds.filter((kind) => kind.has_classes);
  const figures = [["f1", "F1"], ["precision", "precision"], ["recall", "recall"], ["er", "error rate"], ["substitution_rate", "substitutions"], ["deletion_rate", "deletions"], ["insertion_rate", "insertions"]];
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All classes together" }, make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "counted by"), figures.map(([, name]) => make("th", { scope: "col" }, name)), make("th", { scope: "col" }, "macro F1"))),
    make("tbody", {}, kinds.map((kind) => make("tr", {}, make("th", { scope: "row", title: kind.meaning }, kind.counted),
      figures.map(([key]) => make("td", {}, fraction(metrics[kind.name][key]))), make("td", {}, fraction(metrics[kind.name].macro?.f1)))))));
}

function showClasses(content) {
  const metrics = content.metrics;
  if (!metrics) return;
  const worst = worstClass(content);
  const others = content.kinds.filter((kind) => kind.has_classes && kind.name !== "frame");
  const headings = [{ text: "class" }, { text: "frame F1" }, { text: "precision" }, { text: "recall" }, { text: "error rate", up: false }, ...others.map((kind) => ({ text: kind.figures[0].title })), { text: "events", up: false }, ...(metrics.thresholds ? [{ text: "threshold" }] : []), ...(content.files.length ? [{ text: "errors" }] : [])];
  const rows = Object.entries(metrics.per_class).map(([label, of]) => {
    const value = (kind, key) => of[kind]?.[key] ?? null;
    const score = (kind, key) => ({ value: value(kind, key), text: fraction(value(kind, key)) });
    const range = of.frame?.interval?.f1;
    const n = of.event?.counts?.n_ref ?? null;
    const annotated = n !== 0; // a class that the split does not hold cannot be the worst
    const threshold = metrics.thresholds?.[label] ?? null;
    const cells = [{ text: label, value: label, title: label },
      { ...(annotated ? score("frame", "f1") : { value: null, text: "–" }), share: value("frame", "f1") || 0, title: !annotated ? "Not annotated in these recordings" : range && range[0] !== null ? `95 % interval: ${fraction(range[0])} to ${fraction(range[1])}` : null },
      score("frame", "precision"), score("frame", "recall"), score("frame", "er"), ...others.map((kind) => score(kind.name, "f1")),
      { value: n, text: n === null ? "–" : String(n) }, ...(metrics.thresholds ? [{ value: threshold, text: fraction(threshold, 2) }] : [])];
    if (content.files.length) cells.push({ value: null, node: make("button", { type: "button", class: "link", onclick: () => listenTo(label), "aria-label": `Listen to errors of ${label}` }, "listen") });
    return { cells, label };
  });
  const table = sortableTable("Scores of each class", headings, rows, 1, true, (row) => (row.label === worst?.label ? "worst" : ""));
  addPart("classes", "Classes", "Worst first. A heading sorts by its column; the bar is the frame F1. “listen” goes to the errors of the class.", table);
}

function showSettings(content) {
  const given = new Set(content.given.map((word) => word.split("=")[0].replace(/^[+~]+/, "")));
  const groups = {};
  for (const [key, value] of Object.entries(content.settings)) {
    const [group, rest] = key.includes(".") ? [key.slice(0, key.indexOf(".")), key.slice(key.indexOf(".") + 1)] : ["general", key];
    (groups[group] ||= []).push([key, rest, value]);
  }
  const sections = Object.entries(groups).map(([group, rows]) => make("section", {}, make("h3", {}, group), make("table", {}, make("tbody", {}, rows.map(([key, rest, value]) =>
    make("tr", { class: given.has(key) || given.has(group) && key === group ? "given" : "" }, make("th", { scope: "row" }, rest), make("td", {}, typeof value === "string" ? value : JSON.stringify(value))))))));
  const record = content.record;
  const facts = { folder: content.folder, "config hash": record.config_hash, commit: record.commit, device: record.device, started: record.started, ended: record.ended, ...record.versions };
  sections.push(make("section", {}, make("h3", {}, "how it was run"), make("table", {}, make("tbody", {}, Object.entries(facts).filter(([, v]) => v).map(([k, v]) => make("tr", {}, make("th", { scope: "row" }, k), make("td", {}, String(v))))))));
  addPart("configuration", "Configuration", content.given.length ? `Given on the command line: ${content.given.join(" ")}` : "Nothing was given on the command line: these are the defaults.",
    make("details", {}, make("summary", {}, "All settings"), make("div", { class: "settings" }, sections)));
}
